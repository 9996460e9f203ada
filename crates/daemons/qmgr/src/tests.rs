//! The whole queue manager against fake delivery agents and a fake bounce(8).

use crate::manager::Manager;
use crate::route::Resolve;
use bstr::{BStr, BString, ByteSlice};
use postern_attr::{Encoding, Extra};
use postern_config::Config;
use postern_ipc::StatusReply;
use postern_ipc::bounce::{self, AppendBody, NoticeBody, RequestNumber, command};
use postern_ipc::deliver::{self, Dsn, Recipient, Reply, Request};
use postern_mail::address;
use postern_queue::Queues;
use postern_queue_file::file::{self, IdForm, NewFile};
use postern_queue_file::{Hashing, QueueId, RecordType, SizeRecord, Writer};
use postern_rewrite::Resolved;
use postern_server::Reactor;
use std::io::{BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

/// The longest that a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything goes to the transport `smtp`, next hop the domain.
struct ToSmtp;

impl Resolve for ToSmtp {
    fn resolve(&mut self, _: &BStr, recipient: &BStr, _: bool) -> Resolved {
        Resolved {
            transport: "smtp".into(),
            nexthop: address::domain(recipient).unwrap_or_default().to_owned(),
            recipient: recipient.to_owned(),
            flags: 0,
        }
    }
    fn standard_form(&mut self, address: &BStr) -> Option<BString> {
        Some(address.to_owned())
    }
}

struct World {
    root: tempfile::TempDir,
    queues: Queues,
    manager: Manager,
    reactor: Reactor,
}

fn world(settings: &str) -> World {
    let root = tempfile::tempdir().unwrap();
    let names = [
        "incoming", "active", "deferred", "corrupt", "bounce", "defer", "trace", "private",
    ];
    for name in names {
        std::fs::create_dir(root.path().join(name)).unwrap();
    }
    let config = Config::from_text(settings).unwrap();
    let queues = Queues::new(root.path(), Hashing::default());
    let manager = Manager::new(&config, queues.clone(), Box::new(ToSmtp));
    let reactor = Reactor::new().unwrap();
    World {
        root,
        queues,
        manager,
        reactor,
    }
}

impl World {
    /// A queue file in `incoming`, `age` old.
    fn message(&self, age: Duration, recipients: &[&str]) -> QueueId {
        let root = self.root.path();
        let new = NewFile::create(root, "incoming", 0, IdForm::Short, &Hashing::default()).unwrap();
        let (seconds, _) = file::split_time(SystemTime::now() - age);
        let mut writer = Writer::new(&new.file);
        writer
            .put(
                RecordType::SIZE,
                SizeRecord::default().to_string().as_bytes(),
            )
            .unwrap();
        writer
            .put(RecordType::TIME, format!("{seconds} 0").as_bytes())
            .unwrap();
        writer
            .put_attribute("create_time", seconds.to_string().as_bytes())
            .unwrap();
        writer.put(RecordType::FROM, b"sender@a.x").unwrap();
        for recipient in recipients {
            writer
                .put(RecordType::RECIPIENT, recipient.as_bytes())
                .unwrap();
        }
        writer.put(RecordType::MESSAGE, b"").unwrap();
        let start = writer.offset();
        writer.put_line(b"Subject: hi", 2048).unwrap();
        let end = writer.put(RecordType::EXTRACTED, b"").unwrap();
        writer.put(RecordType::END, b"").unwrap();
        let size = SizeRecord {
            data_size: i64::try_from(end - start).unwrap(),
            data_offset: i64::try_from(start).unwrap(),
            recipient_count: i64::try_from(recipients.len()).unwrap(),
            content_length: i64::try_from(end - start).unwrap(),
            ..SizeRecord::default()
        };
        writer.rewrite_size(&size).unwrap();
        writer.flush().unwrap();
        new.commit(0).unwrap();
        new.id.clone()
    }

    /// Runs the main loop until `done`.
    #[track_caller]
    fn run_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            let bound = self.manager.turn(&mut self.reactor, None).unwrap();
            if done(self) {
                return;
            }
            assert!(Instant::now() < end, "no {what}");
            let bound = bound.unwrap_or(PATIENCE).min(Duration::from_millis(20));
            let mut events = Vec::new();
            self.reactor.wait(Some(bound), &mut events).unwrap();
            for event in events {
                self.manager.event(&mut self.reactor, event).unwrap();
            }
        }
    }

    #[track_caller]
    fn run_until_empty(&mut self) {
        self.manager.trigger(b"W");
        self.run_until("end", |world| {
            world.manager.active_count() == 0 && !world.manager.is_scanning()
        });
    }

    fn queue_of(&self, id: &QueueId) -> Option<&'static str> {
        let names = ["incoming", "active", "deferred", "corrupt"];
        self.queues.find(id, &names).unwrap().map(|(name, _)| name)
    }

    fn listen(&self, service: &str) -> UnixListener {
        UnixListener::bind(self.root.path().join("private").join(service)).unwrap()
    }

    /// An agent that answers each request by `answer`, or closes when that is `None`.
    fn agent(
        &self,
        service: &str,
        mut answer: impl FnMut(&Path, &Request, &[Recipient]) -> Option<Reply> + Send + 'static,
    ) -> Receiver<(Request, Vec<Recipient>)> {
        let (listener, root) = (self.listen(service), self.root.path().to_owned());
        let (seen, requests) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                postern_attr::write_announcement(&mut stream, Encoding::Null, deliver::PROTOCOL)
                    .unwrap();
                let mut input = BufReader::new(&stream);
                let read = postern_attr::read(&mut input, Encoding::Null, Extra::Refuse);
                let Ok::<Request, _>(request) = read else {
                    continue;
                };
                let recipients: Vec<Recipient> = (0..request.recipient_count)
                    .map(|_| postern_attr::read(&mut input, Encoding::Null, Extra::Refuse).unwrap())
                    .collect();
                let reply = answer(&root, &request, &recipients);
                // The test may not care.
                let _ = seen.send((request, recipients));
                if let Some(reply) = reply {
                    let _ = postern_attr::write(&mut stream, Encoding::Null, &reply);
                }
            }
        });
        requests
    }

    /// A bounce(8) in the role `service` that writes its log and answers `status`.
    fn bounce(&self, service: &'static str, status: i32) -> Receiver<(i32, String)> {
        let (listener, queues) = (self.listen(service), self.queues.clone());
        let (seen, requests) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                serve_bounce(stream, service, status, &queues, &seen);
            }
        });
        requests
    }
}

fn serve_bounce(
    mut stream: UnixStream,
    service: &str,
    status: i32,
    queues: &Queues,
    seen: &Sender<(i32, String)>,
) {
    postern_attr::write_announcement(&mut stream, Encoding::Null, bounce::PROTOCOL).unwrap();
    let mut input = BufReader::new(&stream);
    let number: RequestNumber =
        postern_attr::read(&mut input, Encoding::Null, Extra::Leave).unwrap();
    let queue_id = if number.nrequest == command::APPEND {
        let body: AppendBody = postern_attr::read(&mut input, Encoding::Null, Extra::Skip).unwrap();
        let id = QueueId::parse(&body.queue_id).unwrap();
        let path = queues.path(service, &id);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut log = std::fs::File::options()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        writeln!(
            log,
            "recipient={}\nreason={}",
            body.recipient.recipient, body.dsn.reason
        )
        .unwrap();
        body.queue_id
    } else {
        let body: NoticeBody = postern_attr::read(&mut input, Encoding::Null, Extra::Skip).unwrap();
        let id = QueueId::parse(&body.queue_id).unwrap();
        assert!(
            queues.info("active", &id).unwrap().is_some(),
            "the file is still there"
        );
        if status == 0 && number.nrequest != command::WARN {
            let _ = queues.remove(service, &id);
        }
        body.queue_id
    };
    let _ = seen.send((number.nrequest, queue_id));
    postern_attr::write(&mut stream, Encoding::Null, &StatusReply { status }).unwrap();
}

fn mark_all(root: &Path, request: &Request, recipients: &[Recipient]) {
    let path: PathBuf = root.join("active").join(&request.queue_id);
    let file = file::open_for_delivery(&path).unwrap();
    for recipient in recipients {
        file::mark_done(&file, recipient.offset).unwrap();
    }
}

fn deliver(root: &Path, request: &Request, recipients: &[Recipient]) -> Option<Reply> {
    mark_all(root, request, recipients);
    Some(Reply::new(Dsn::default(), 0))
}

#[test]
fn a_delivered_message_is_removed() {
    let mut world = world("");
    let requests = world.agent("smtp", deliver);
    let id = world.message(Duration::ZERO, &["u1@b.x", "u2@b.x", "u3@c.x"]);
    world.run_until_empty();
    assert_eq!(world.queue_of(&id), None);
    let mut seen: Vec<(String, usize)> = requests
        .try_iter()
        .map(|(request, recipients)| (request.nexthop.to_string(), recipients.len()))
        .collect();
    seen.sort();
    assert_eq!(seen, [("b.x".to_owned(), 2), ("c.x".to_owned(), 1)]);
}

#[test]
fn a_deferred_message_waits_for_as_long_as_it_is_old() {
    let mut world = world("");
    world.agent("smtp", |_, _, _| Some(Reply::new(Dsn::default(), -1)));
    let id = world.message(Duration::from_secs(1000), &["u@b.x"]);
    world.run_until_empty();
    assert_eq!(world.queue_of(&id), Some("deferred"));
    let info = world.queues.info("deferred", &id).unwrap().unwrap();
    let wait = info
        .modified
        .duration_since(SystemTime::now())
        .unwrap()
        .as_secs();
    assert!((990..=1001).contains(&wait), "{wait}");
    // Not before its time, but when everything is flushed.
    world.manager.trigger(b"D");
    world.run_until("scan", |world| !world.manager.is_scanning());
    assert_eq!(world.manager.active_count(), 0);
    world.manager.trigger(b"FADI");
    world.run_until("flush", |world| world.manager.active_count() == 1);
}

#[test]
fn a_crashed_agent_leaves_its_recipients_deferred_and_reported() {
    let mut world = world("");
    world.agent("smtp", |root, request, recipients| {
        mark_all(root, request, &recipients[..1]);
        None
    });
    let defers = world.bounce("defer", 0);
    let id = world.message(Duration::ZERO, &["u1@b.x", "u2@b.x"]);
    world.run_until_empty();
    assert_eq!(world.queue_of(&id), Some("deferred"));
    let seen: Vec<_> = defers.try_iter().collect();
    assert_eq!(seen, [(command::APPEND, id.to_string())]);
    let log = std::fs::read_to_string(world.queues.path("defer", &id)).unwrap();
    assert_eq!(
        log,
        "recipient=u2@b.x\nreason=unknown mail transport error\n"
    );
}

#[test]
fn without_agents_everything_is_deferred() {
    let mut world = world("");
    let defers = world.bounce("defer", 0);
    let id = world.message(Duration::ZERO, &["u1@b.x", "u2@c.x"]);
    world.run_until_empty();
    assert_eq!(world.queue_of(&id), Some("deferred"));
    assert_eq!(defers.try_iter().count(), 2);
}

#[test]
fn a_dead_site_sends_the_rest_to_the_retry_service() {
    let mut world = world(
        "default_destination_recipient_limit = 2\n\
         initial_destination_concurrency = 1\n",
    );
    let dsn = Dsn {
        status: "4.4.1".into(),
        reason: "refused".into(),
        ..Dsn::default()
    };
    let tries = world.agent("smtp", move |_, _, _| Some(Reply::new(dsn.clone(), -1)));
    let retries = world.agent("retry", |_, _, _| Some(Reply::new(Dsn::default(), -1)));
    let id = world.message(
        Duration::ZERO,
        &["u1@b.x", "u2@b.x", "u3@b.x", "u4@b.x", "u5@b.x"],
    );
    world.run_until_empty();
    assert_eq!(world.queue_of(&id), Some("deferred"));
    assert_eq!(tries.try_iter().count(), 1);
    let seen: Vec<_> = retries
        .try_iter()
        .map(|(request, recipients)| (request.nexthop.to_string(), recipients.len()))
        .collect();
    let reason = "4.4.1 delivery temporarily suspended: refused".to_owned();
    assert_eq!(seen, [(reason.clone(), 2), (reason, 1)]);
}

#[test]
fn the_file_is_removed_after_the_bounce_and_not_before() {
    for (status, want) in [(0, None), (-1, Some("deferred"))] {
        let mut world = world("");
        world.agent("smtp", deliver);
        let bounces = world.bounce("bounce", status);
        let id = world.message(Duration::ZERO, &["u@b.x"]);
        std::fs::write(world.queues.path("bounce", &id), "recipient=u@b.x\n").unwrap();
        world.run_until_empty();
        assert_eq!(
            bounces.try_iter().collect::<Vec<_>>(),
            [(command::FLUSH, id.to_string())]
        );
        assert_eq!(world.queue_of(&id), want, "status {status}");
    }
}

#[test]
fn an_expired_message_is_returned() {
    let mut world = world("");
    let defers = world.bounce("defer", 0);
    let id = world.message(Duration::from_secs(6 * 86400), &["u@b.x"]);
    world.run_until_empty();
    assert_eq!(world.queue_of(&id), None);
    let commands: Vec<_> = defers.try_iter().map(|(command, _)| command).collect();
    assert_eq!(commands, [command::APPEND, command::FLUSH]);
}

#[test]
fn an_expired_message_that_cannot_be_reported_stays() {
    let mut world = world("");
    let id = world.message(Duration::from_secs(6 * 86400), &["u@b.x"]);
    world.run_until_empty();
    assert_eq!(world.queue_of(&id), Some("deferred"));
}

#[test]
fn damaged_files_go_to_corrupt_and_unfinished_ones_stay() {
    let mut world = world("");
    let good = world.message(Duration::ZERO, &["u@b.x"]);
    let path = world.queues.path("incoming", &good);
    let bytes = std::fs::read(&path).unwrap();
    let file = file::open_for_update(&path).unwrap();
    file.set_len(u64::try_from(bytes.len()).unwrap() - 2)
        .unwrap();
    let new = NewFile::create(
        world.root.path(),
        "incoming",
        0,
        IdForm::Long,
        &Hashing::default(),
    );
    let unfinished = new.unwrap().id;
    world.run_until_empty();
    assert_eq!(world.queue_of(&good), Some("corrupt"));
    assert_eq!(world.queue_of(&unfinished), Some("incoming"));
}

#[test]
fn a_file_that_an_agent_still_has_open_is_looked_at_later() {
    let mut world = world("");
    let id = world.message(Duration::ZERO, &["u@b.x"]);
    let held = file::open_for_delivery(&world.queues.path("incoming", &id)).unwrap();
    world.run_until_empty();
    assert_eq!(world.queue_of(&id), Some("incoming"));
    let info = world.queues.info("incoming", &id).unwrap().unwrap();
    assert!(info.modified > SystemTime::now() + Duration::from_secs(5));
    drop(held);
    // Nobody needs to ask for it.
    world.agent("smtp", deliver);
    let age = std::fs::File::open(world.queues.path("incoming", &id)).unwrap();
    age.set_modified(SystemTime::now()).unwrap();
    let due = world.manager.desk.look_again.as_mut().unwrap();
    *due = Instant::now();
    world.run_until("delivery", |world| world.queue_of(&id).is_none());
}

#[test]
fn active_messages_of_a_dead_process_are_delivered_again() {
    let mut world = world("");
    world.agent("smtp", deliver);
    let id = world.message(Duration::ZERO, &["u@b.x"]);
    world.queues.rename(&id, "incoming", "active").unwrap();
    world.manager.recover().unwrap();
    assert_eq!(world.queue_of(&id), Some("incoming"));
    world.run_until_empty();
    assert_eq!(world.queue_of(&id), None);
}

#[test]
fn many_recipients_are_read_in_batches_and_all_delivered() {
    let mut world = world(
        "qmgr_message_active_limit = 1\nqmgr_message_recipient_limit = 10\n\
         default_recipient_limit = 5\ndefault_destination_recipient_limit = 3\n",
    );
    let requests = world.agent("smtp", deliver);
    let names: Vec<String> = (0..57).map(|n| format!("u{n}@d{}.x", n % 4)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let id = world.message(Duration::ZERO, &names);
    world.run_until_empty();
    assert_eq!(world.queue_of(&id), None);
    let mut seen: Vec<String> = requests
        .try_iter()
        .flat_map(|(_, recipients)| recipients)
        .map(|recipient| recipient.recipient.to_str_lossy().into_owned())
        .collect();
    seen.sort();
    let mut want: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    want.sort();
    assert_eq!(seen, want);
}
