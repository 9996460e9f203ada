//! Scripted servers over socket pairs, and a reporter that only remembers.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, Write};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::Duration;

use bstr::{BString, ByteSlice};
use postern_config::Config;
use postern_delivery::Outcome;
use postern_ipc::deliver::{Dsn, MessageStats, Recipient, Request};
use postern_queue_file::RecordType;
use postern_queue_file::record::encode;
use postern_wire::Channel;

use Act::{Content, HalfClose, Hear, Say};

use crate::content::{Options, Source};
use crate::handshake::{Context, shake_hands};
use crate::job::{Job, Report, Reporter};
use crate::role::Role;
use crate::security::{Demand, Level};
use crate::session::{Peer, Session};
use crate::settings::{Settings, Tables};
use crate::transaction::Transaction;

/// What the server does next.
pub(super) enum Act {
    /// Sends these bytes.
    Say(&'static str),
    /// Reads one line; it must start like this.
    Hear(&'static str),
    /// Reads content up to the final dot.
    Content,
    /// Closes the sending side only.
    HalfClose,
}

/// A server that plays `script` and returns every line that it heard.
fn server(script: Vec<Act>) -> (Channel, JoinHandle<Vec<String>>) {
    let (near, far) = UnixStream::pair().unwrap();
    far.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let thread = std::thread::spawn(move || {
        let mut input = BufReader::new(far.try_clone().unwrap());
        let mut output = far;
        let mut heard = Vec::new();
        let mut line = |heard: &mut Vec<String>| {
            let mut text = Vec::new();
            let count = input.read_until(b'\n', &mut text).unwrap_or(0);
            let text = text.to_str_lossy().trim_end_matches("\r\n").to_owned();
            heard.push(text.clone());
            (count > 0).then_some(text)
        };
        for act in script {
            match act {
                // The client may be gone already; what it did then is what the test looks at.
                Say(text) => drop(output.write_all(text.as_bytes())),
                Hear(start) => {
                    let text = line(&mut heard);
                    assert!(
                        text.as_deref().is_some_and(|text| text.starts_with(start)),
                        "{text:?} for {start:?}"
                    );
                }
                Content => while line(&mut heard).is_some_and(|text| text != ".") {},
                HalfClose => output.shutdown(std::net::Shutdown::Write).unwrap(),
            }
        }
        drop(output);
        heard
    });
    (Channel::new(near.into()), thread)
}

/// Keeps outcomes as text.
#[derive(Default)]
struct Recorder(Vec<String>);

impl Recorder {
    fn note(&mut self, what: &str, report: &Report<'_>, dsn: &Dsn) {
        let recipient = &report.recipient.recipient;
        self.0
            .push(format!("{recipient} {what} {} {}", dsn.status, dsn.reason));
    }
}

impl Reporter for Recorder {
    fn sent(&mut self, report: &Report<'_>, dsn: &Dsn) -> Outcome {
        self.note("sent", report, dsn);
        Outcome::Done
    }
    fn bounce(&mut self, report: &Report<'_>, dsn: &Dsn) -> Outcome {
        self.note("bounced", report, dsn);
        Outcome::Done
    }
    fn defer(&mut self, report: &Report<'_>, dsn: &Dsn) -> Outcome {
        self.note("deferred", report, dsn);
        Outcome::Deferred
    }
    fn mark_done(&mut self, _recipient: &Recipient) {}
    fn pass_on(&mut self, _report: &Report<'_>, _service: &str) -> Outcome {
        Outcome::Deferred
    }
}

fn request() -> Request {
    Request {
        flags: 3,
        queue_name: "active".into(),
        queue_id: "TEST1".into(),
        offset: 0,
        size: 100,
        nexthop: "remote.example".into(),
        encoding: "7bit".into(),
        smtputf8: 0,
        sender: "sender@example.org".into(),
        envelope_id: BString::default(),
        ret_flags: 0,
        time: MessageStats::default().to_data(),
        log_client_name: BString::default(),
        log_client_address: BString::default(),
        log_client_port: BString::default(),
        log_protocol_name: BString::default(),
        log_helo_name: BString::default(),
        sasl_method: BString::default(),
        sasl_username: BString::default(),
        sasl_sender: BString::default(),
        log_ident: BString::default(),
        rewrite_context: "local".into(),
        recipient_count: 2,
    }
}

pub(super) fn queue_file(records: &[(RecordType, &[u8])]) -> File {
    let mut bytes = Vec::new();
    for (kind, data) in records {
        encode(&mut bytes, *kind, data);
    }
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    file.rewind().unwrap();
    file
}

fn message() -> File {
    queue_file(&[
        (RecordType::TEXT, b"Subject: x"),
        (RecordType::TEXT, b""),
        (RecordType::TEXT, b".dot"),
        (RecordType::EXTRACTED, b""),
    ])
}

/// How a test differs from two recipients, the last server, no pipelining.
pub(super) struct Case {
    pub(super) main_cf: &'static str,
    pub(super) role: Role,
    pub(super) final_server: bool,
    pub(super) keep: bool,
    pub(super) level: Level,
    pub(super) file: File,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            main_cf: "",
            role: Role::Smtp,
            final_server: true,
            keep: false,
            level: Level::None,
            file: message(),
        }
    }
}

/// What came of a dialogue.
pub(super) struct Result {
    pub(super) outcomes: Vec<String>,
    pub(super) heard: Vec<String>,
    pub(super) in_step: bool,
    pub(super) suspended: bool,
    pub(super) open: usize,
}

impl Case {
    pub(super) fn play(self, script: Vec<Act>) -> Result {
        let text = format!(
            "myhostname = me.example\ninet_interfaces = loopback-only\n{}",
            self.main_cf
        );
        let config = Config::from_text(&text).unwrap();
        let settings = Settings::new(&config, self.role, "smtp").unwrap();
        let mut tables = Tables::open(&config, self.role);
        let (channel, thread) = server(script);
        let peer = Peer {
            host: "mx".into(),
            address: "192.0.2.1".into(),
            port: Some(25),
        };
        let mut session = Session::new(channel, peer, false, None);
        let request = request();
        let recipient = |address: &str| Recipient {
            recipient: address.into(),
            original_recipient: address.into(),
            ..Recipient::default()
        };
        let recipients = [recipient("a@x"), recipient("b@x")];
        let mut recorder = Recorder::default();
        let mut job = Job::new(
            &request,
            &recipients,
            MessageStats::default(),
            false,
            &mut recorder,
        );
        job.final_server = self.final_server;
        let demand = Demand {
            level: self.level,
            wrapper: false,
            sasl: false,
            nexthop: "remote.example".into(),
        };
        let context = Context {
            queue_id: "TEST1",
            nexthop: "remote.example",
            detect_loop: true,
            best_host: true,
            age: 0,
            demand: &demand,
        };
        match shake_hands(&mut session, &settings, &mut tables, &context) {
            Ok(()) => {
                session.keep = self.keep;
                let source = Source {
                    file: &self.file,
                    offset: 0,
                    path: "active/TEST1".into(),
                };
                let options = Options {
                    delivered_to: false,
                    original_to: false,
                    return_path: false,
                    is_final: false,
                    limits: (100, 2048, 102_400),
                    body_checks_limit: 51_200,
                };
                Transaction {
                    session: &mut session,
                    job: &mut job,
                    settings: &settings,
                    tables: &mut tables,
                    source: &source,
                    options: &options,
                }
                .run();
            }
            Err(refusal) => job.site_fail(&refusal.failure),
        }
        if !(session.keep && session.in_step) {
            session.quit(&settings, &mut tables, "TEST1");
        }
        let (in_step, suspended, open) = (session.in_step, job.site.is_some(), job.open().len());
        drop(session);
        Result {
            heard: thread.join().unwrap(),
            outcomes: recorder.0,
            in_step,
            suspended,
            open,
        }
    }
}
