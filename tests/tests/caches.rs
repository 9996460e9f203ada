//! verify(8) keeps what it learned in tables of every type that can be written, whatever happens to it.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use postern_testkit::{Instance, Store, skip, wait_for};

/// Addresses of each client; every third one is unknown to its host.
const ADDRESSES: usize = 60;
const CLIENTS: usize = 4;

fn address(client: usize, number: usize) -> String {
    format!("user{number}.{client}@relay.example")
}

/// Values of `recipient_status`.
fn status(number: usize) -> &'static str {
    if number.is_multiple_of(3) { "2" } else { "0" }
}

/// A client of verify(8); its requests are lists of names and values.
struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    fn try_new(instance: &Instance) -> io::Result<Self> {
        let stream = UnixStream::connect(instance.file("spool/private/verify"))?;
        let mut client = Self {
            stream: BufReader::new(stream),
        };
        let greeting = client.reply()?;
        assert_eq!(greeting, ["protocol", "address_verification_prrotocol"]);
        Ok(client)
    }

    /// Connects until that works.
    fn new(instance: &Instance) -> Self {
        wait_for("the verify service", || Self::try_new(instance).ok())
    }

    fn reply(&mut self) -> io::Result<Vec<String>> {
        let mut words = Vec::new();
        loop {
            let mut word = Vec::new();
            self.stream.read_until(0, &mut word)?;
            if word.pop() != Some(0) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if word.is_empty() && words.len().is_multiple_of(2) {
                return Ok(words);
            }
            words.push(String::from_utf8_lossy(&word).into_owned());
        }
    }

    fn ask(&mut self, words: &[&str]) -> io::Result<Vec<String>> {
        let request: String = words.iter().map(|word| format!("{word}\0")).collect();
        let output = self.stream.get_mut();
        output.write_all(request.as_bytes())?;
        output.write_all(b"\0")?;
        self.reply()
    }

    fn update(&mut self, address: &str, status: &str) -> io::Result<()> {
        #[rustfmt::skip]
        let words = [
            "request", "update", "address", address, "recipient_status", status, "reason", "seen by a test",
        ];
        let reply = self.ask(&words)?;
        assert_eq!(reply, ["status", "0"]);
        Ok(())
    }

    /// The status of an address: `3` is not known.
    fn query(&mut self, address: &str) -> io::Result<String> {
        let reply = self.ask(&["request", "query", "address", address])?;
        assert_eq!(reply.first().map(String::as_str), Some("status"));
        Ok(reply.get(3).cloned().unwrap_or_default())
    }
}

/// Asks a client that is made anew as often as necessary.
fn patiently<T>(
    instance: &Instance,
    client: &mut Client,
    mut work: impl FnMut(&mut Client) -> io::Result<T>,
) -> T {
    loop {
        match work(client) {
            Ok(result) => return result,
            Err(_) => *client = Client::new(instance),
        }
    }
}

fn host(table: &str, more: &str) -> Instance {
    Instance::for_test(
        &format!(
            "relay_domains = relay.example\nrelay_transport = discard\naddress_verify_map = {table}\n\
             service_throttle_time = 1s\n{more}"
        ),
        "",
    )
}

/// What is stored, as `postmap -s` lists it.
fn listing(instance: &Instance, table: &str) -> Vec<(String, String)> {
    instance
        .succeed("postmap", &["-s", table])
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter(|(key, _)| key.ends_with("@relay.example"))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Kills `program` again and again while clients tell verify(8) what they know: what it has
/// acknowledged stays.
fn survive_kills(mut instance: Instance, table: &str, program: &str) {
    instance.start().unwrap();
    let instance = &instance;
    let (done, is_over) = (&AtomicUsize::new(0), &AtomicBool::new(false));
    let kills = thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let mut kills = 0;
            while !is_over.load(Ordering::SeqCst) {
                let before = done.load(Ordering::SeqCst);
                wait_for("updates", || {
                    let is_busy = done.load(Ordering::SeqCst) > before + 25;
                    (is_busy || is_over.load(Ordering::SeqCst)).then_some(())
                });
                for process in instance.daemons() {
                    if process.name == program && instance.kill(&process) {
                        kills += 1;
                    }
                }
            }
            kills
        });
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                scope.spawn(move || {
                    let mut client = Client::new(instance);
                    for n in 0..ADDRESSES {
                        let address = address(number, n);
                        patiently(instance, &mut client, |client| {
                            client.update(&address, status(n))
                        });
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
        is_over.store(true, Ordering::SeqCst);
        killer.join().unwrap()
    });
    assert!(kills >= 3, "{kills}");
    let mut client = Client::new(instance);
    for (number, n) in (0..CLIENTS).flat_map(|number| (0..ADDRESSES).map(move |n| (number, n))) {
        let address = address(number, n);
        let found = patiently(instance, &mut client, |client| client.query(&address));
        assert_eq!(found, status(n), "{address}");
    }
    assert_eq!(listing(instance, table).len(), CLIENTS * ADDRESSES);
    let panics = instance
        .log()
        .lines()
        .filter(|line| line.contains("panic"))
        .count();
    assert_eq!(panics, 0);
}

/// Entries disappear with their time.
fn expire(mut instance: Instance, table: &str) {
    instance.start().unwrap();
    let mut client = Client::new(&instance);
    for n in 0..6 {
        client.update(&address(0, n), status(n)).unwrap();
    }
    // The first ones may be too old already where a disk is slow.
    assert_eq!(client.query(&address(0, 5)).unwrap(), status(5));
    wait_for("all entries to expire", || {
        listing(&instance, table).is_empty().then_some(())
    });
    instance.wait_log_all(&["cache ", " full cleanup: retained=0 dropped="]);
    // Life goes on.
    client.update(&address(0, 1), "0").unwrap();
    assert_eq!(client.query(&address(0, 1)).unwrap(), "0");
    assert_eq!(instance.defects(), Vec::<String>::new());
}

const SHORT: &str = "address_verify_positive_expire_time = 2s\naddress_verify_positive_refresh_time = 2s\n\
    address_verify_negative_expire_time = 2s\naddress_verify_negative_refresh_time = 2s\n\
    address_verify_cache_cleanup_interval = 1s\n";

/// The settings of a cache in a file of its own, with `DATA` for the data directory.
fn configure(instance: &Instance, settings: &str) {
    let data = instance.file("lib").display().to_string();
    instance.write("etc/cache.cf", settings.replace("DATA", &data).as_bytes());
}

/// Both tests on a table in a file.
fn on_file(kind: &str) {
    let table = format!("{kind}:${{data_directory}}/verify_cache");
    let name =
        |instance: &Instance| format!("{kind}:{}", instance.file("lib/verify_cache").display());
    let instance = host(&table, "");
    let path = name(&instance);
    survive_kills(instance, &path, "verify");
    let instance = host(&table, SHORT);
    let path = name(&instance);
    expire(instance, &path);
}

#[test]
fn btree_keeps_what_verify_learned_and_lets_it_expire() {
    on_file("btree");
}

#[test]
fn lmdb_keeps_what_verify_learned_and_lets_it_expire() {
    on_file("lmdb");
}

#[test]
fn memcache_with_a_backup_by_proxy_keeps_what_verify_learned() {
    let Some(store) = Store::memcached() else {
        return skip("verify on memcache", "memcached is not installed");
    };
    let table = "proxy:memcache:${config_directory}/cache.cf";
    // The backup is shared by processes as a btree file of its own may not be.
    let settings = format!(
        "memcache = inet:127.0.0.1:{}\nbackup = lmdb:DATA/verify_backup\nkey_format = verify:%s\n",
        store.port()
    );
    let start = |more: &str| {
        let instance = host(table, &format!("proxy_write_maps = {table}\n{more}"));
        configure(&instance, &settings);
        let backup = format!("lmdb:{}", instance.file("lib/verify_backup").display());
        (instance, backup)
    };
    let (instance, backup) = start("");
    survive_kills(instance, &backup, "proxymap");
    assert!(
        store
            .talk("get verify:user1.0@relay.example\r\n")
            .starts_with("VALUE ")
    );
    let (instance, backup) = start(SHORT);
    expire(instance, &backup);
}

#[test]
fn redis_keeps_what_verify_learned_and_lets_it_expire() {
    let Some(store) = Store::redis() else {
        return skip("verify on redis", "Redis is not installed");
    };
    let table = "redis:${config_directory}/cache.cf";
    let start = |prefix: &str, more: &str| {
        let instance = host(table, more);
        let settings = format!(
            "redis = inet:127.0.0.1:{}\nkey_prefix = {prefix}\n",
            store.port()
        );
        configure(&instance, &settings);
        let name = format!("redis:{}", instance.file("etc/cache.cf").display());
        (instance, name)
    };
    let (instance, name) = start("one:", "");
    survive_kills(instance, &name, "verify");
    let (instance, name) = start("two:", SHORT);
    expire(instance, &name);
}

/// While the server of `kind` is away, verify(8) knows nothing, takes what it is told, and goes on.
fn be_without_server(kind: &str, store: &mut Store) {
    let table = format!("{kind}:${{config_directory}}/cache.cf");
    let mut instance = host(&table, "compatibility_level = 3.11\n");
    let settings = format!("{kind} = inet:127.0.0.1:{}\nmax_try = 1\n", store.port());
    configure(&instance, &settings);
    instance.start().unwrap();
    let mut client = Client::new(&instance);
    client.update(&address(0, 1), "0").unwrap();
    assert_eq!(client.query(&address(0, 1)).unwrap(), "0");
    store.stop();
    for n in [1, 3] {
        let found = client.query(&address(0, n)).unwrap();
        assert!(["1", "3"].contains(&found.as_str()), "{found}");
        client.update(&address(0, n), status(n)).unwrap();
    }
    store.start();
    for n in [1, 3] {
        client.update(&address(0, n), status(n)).unwrap();
        assert_eq!(client.query(&address(0, n)).unwrap(), status(n));
    }
    assert_eq!(instance.defects(), Vec::<String>::new());
}

#[test]
fn a_cache_server_that_is_away_is_no_answer_and_no_more() {
    for (kind, store) in [("memcache", Store::memcached()), ("redis", Store::redis())] {
        match store {
            Some(mut store) => be_without_server(kind, &mut store),
            None => skip(&format!("verify without {kind}"), "it is not installed"),
        }
    }
}

#[test]
fn redis_lets_entries_expire_without_the_help_of_verify() {
    let Some(store) = Store::redis() else {
        return skip("entries that expire in redis", "Redis is not installed");
    };
    let mut instance = host(
        "redis:${config_directory}/cache.cf",
        "address_verify_cache_cleanup_interval = 0\n",
    );
    let settings = format!("redis = inet:127.0.0.1:{}\nttl = 4\n", store.port());
    configure(&instance, &settings);
    instance.start().unwrap();
    let mut client = Client::new(&instance);
    let name = format!("redis:{}", instance.file("etc/cache.cf").display());
    for n in 0..6 {
        client.update(&address(0, n), status(n)).unwrap();
    }
    assert_eq!(client.query(&address(0, 5)).unwrap(), status(5));
    wait_for("all entries to expire", || {
        listing(&instance, &name).is_empty().then_some(())
    });
    client.update(&address(0, 1), "0").unwrap();
    assert_eq!(client.query(&address(0, 1)).unwrap(), "0");
}
