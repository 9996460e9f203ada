//! Mail hosts with their maps in MariaDB go through outages of these.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use postern_testkit::{
    Instance, MariaDb, NO_PENALTIES, Recipients, SmtpClient, content, skip, storm, wait_for,
};

const TEXT: &str = "From: sender@example.test\nSubject: greeting\n\nHello.\n";

/// The schema of ViMbAdmin, as far as maps use it.
const SCHEMA: &str =
    "CREATE TABLE domain (domain VARCHAR(255), active TINYINT(1)); INSERT INTO domain VALUES ('example.net', 1);
    CREATE TABLE mailbox (username VARCHAR(255), maildir VARCHAR(255), active TINYINT(1));
    INSERT INTO mailbox VALUES ('joe@example.net', 'joe/', 1), ('off@example.net', 'off/', 0);
    CREATE TABLE alias (address VARCHAR(255), goto TEXT, active TINYINT(1));
    INSERT INTO alias VALUES ('info@example.net', 'joe@example.net', 1), ('o''brien@example.net', 'joe@example.net', 1);";

/// An instance whose maps are files in `etc/sql`, asked by the daemons themselves and through proxymap(8).
fn instance(server: &MariaDb) -> Instance {
    let base = format!(
        "hosts = 127.0.0.1:{}\nuser = mail\npassword = secret\ndbname = mail\nretry_interval = 1\n",
        server.port()
    );
    let mut instance = Instance::for_test(
        "virtual_mailbox_domains = mysql:${config_directory}/domains.cf\n\
         virtual_mailbox_maps = proxy:mysql:${config_directory}/mailboxes.cf\n\
         virtual_alias_maps = mysql:${config_directory}/aliases.cf\n\
         queue_run_delay = 1s\nminimal_backoff_time = 1s\nmaximal_backoff_time = 1s\n\
         transport_retry_time = 1s\n",
        "",
    );
    for (name, query) in [
        (
            "domains",
            "SELECT 1 FROM domain WHERE domain='%s' AND active = '1'",
        ),
        (
            "mailboxes",
            "SELECT maildir FROM mailbox WHERE username = '%s' AND active = '1'",
        ),
        (
            "aliases",
            "SELECT goto FROM alias WHERE address = '%s' AND active = '1'",
        ),
    ] {
        instance.write(
            &format!("etc/{name}.cf"),
            format!("{base}query = {query}\n").as_bytes(),
        );
    }
    instance.start().unwrap();
    instance
}

/// Sends mail until five messages are accepted; gives their subjects.
fn send_some(instance: &Instance, sender: usize) -> Vec<String> {
    let mut client = instance.smtp();
    let mut accepted = Vec::new();
    wait_for("five messages to be accepted", || {
        let subject = format!("{sender} {}", accepted.len());
        let text = format!("From: sender@example.test\nSubject: {subject}\n\nx\n");
        assert_eq!(client.say("MAIL FROM:<sender@example.test>").code, 250);
        let reply = client.say("RCPT TO:<info@example.net>");
        // The tables notice within a second that the server is back.
        assert!([250, 451].contains(&reply.code), "{reply:?}");
        if reply.code == 250 {
            assert_eq!(client.say("DATA").code, 354);
            client.raw(&content(&text));
            let reply = client.reply();
            // The tables of cleanup(8) may not have noticed yet.
            assert!([250, 451].contains(&reply.code), "{reply:?}");
            if reply.code == 250 {
                accepted.push(subject);
            }
        } else {
            client.say("RSET");
        }
        (accepted.len() == 5).then_some(())
    });
    accepted
}

#[test]
fn mail_waits_while_the_database_is_away_and_none_is_refused_or_lost() {
    let Some(mut server) = MariaDb::start_new(&[]) else {
        return skip("a mail host on MariaDB", "MariaDB is not installed");
    };
    server.sql(SCHEMA);
    let instance = &instance(&server);
    let mut client = instance.smtp();
    let all = [
        "joe@example.net",
        "info@example.net",
        "o'brien@example.net",
        "JOE@example.net",
    ];
    let reply = client.send("sender@example.test", &all, TEXT);
    assert!(reply.queue_id().is_some(), "{reply:?}");
    instance.wait_maildir("joe", 1);
    assert_eq!(client.say("MAIL FROM:<sender@example.test>").code, 250);
    for address in [
        "nobody@example.net",
        "off@example.net",
        "\"x' or '1'='1\"@example.net",
    ] {
        assert_eq!(
            client.say(&format!("RCPT TO:<{address}>")).code,
            550,
            "{address}"
        );
    }
    server.stop();
    for address in ["joe@example.net", "nobody@example.net", "info@example.net"] {
        let reply = client.say(&format!("RCPT TO:<{address}>"));
        assert_eq!(reply.code, 451, "{address}: {reply:?}");
    }
    // Local mail is taken and waits.
    for number in 0..4 {
        let text = format!("Subject: local {number}\n\nx\n");
        instance.sendmail(&["-f", "sender@example.test", "joe@example.net"], &text);
    }
    server.start();
    let accepted: Vec<String> = thread::scope(|scope| {
        let senders: Vec<_> = (0..4)
            .map(|sender| scope.spawn(move || send_some(instance, sender)))
            .collect();
        senders
            .into_iter()
            .flat_map(|sender| sender.join().unwrap())
            .collect()
    });
    wait_for("local mail to be picked up", || {
        instance.succeed("postkick", &["public", "pickup", "W"]);
        let maildrop = fs::read_dir(instance.file("spool/maildrop"));
        (maildrop.unwrap().count() == 0).then_some(())
    });
    instance.wait_queue_empty();
    let local = (0..4).map(|number| format!("local {number}"));
    for subject in accepted.into_iter().chain(local) {
        instance.wait_mail("joe", &format!("\nSubject: {subject}\n"));
    }
    assert_eq!(instance.defects(), Vec::<String>::new());
}

/// Tables of a ViMbAdmin host: what its maps read, and some of the columns that they do not.
const VIMBADMIN: &str = "
    CREATE DATABASE vimbadmin CHARACTER SET utf8mb4;
    CREATE USER postfix@'%' IDENTIFIED BY 'secret'; GRANT SELECT ON vimbadmin.* TO postfix@'%';
    CREATE USER postfix@localhost IDENTIFIED BY 'secret'; GRANT SELECT ON vimbadmin.* TO postfix@localhost;
    USE vimbadmin;
    CREATE TABLE domain (id BIGINT AUTO_INCREMENT PRIMARY KEY, domain VARCHAR(255) UNIQUE, transport VARCHAR(255),
        backupmx TINYINT(1) NOT NULL DEFAULT 0, active TINYINT(1) NOT NULL);
    CREATE TABLE mailbox (id BIGINT AUTO_INCREMENT PRIMARY KEY, username VARCHAR(255) UNIQUE, name VARCHAR(255),
        maildir VARCHAR(255), active TINYINT(1) NOT NULL, Domain_id BIGINT);
    CREATE TABLE alias (id BIGINT AUTO_INCREMENT PRIMARY KEY, address VARCHAR(255) UNIQUE, goto LONGTEXT,
        active TINYINT(1) NOT NULL, Domain_id BIGINT);
    CREATE TABLE tlspolicies (domain VARCHAR(255) PRIMARY KEY, policy VARCHAR(32), params VARCHAR(255));
    INSERT INTO domain (domain, transport, active) VALUES ('example.net', 'virtual', 1), ('off.example', 'virtual', 0);
    INSERT INTO mailbox (username, maildir, active) VALUES ('joe@example.net', '/srv/joe', 1),
        ('admin@example.net', '/srv/admin', 1), ('off@example.net', '/srv/off', 0);
    INSERT INTO alias (address, goto, active) VALUES ('joe@example.net', 'joe@example.net', 1),
        ('info@example.net', 'joe@example.net,joe@elsewhere.example', 1), ('old@example.net', 'joe@example.net', 0),
        ('o''brien@example.net', 'joe@example.net', 1);
    INSERT INTO tlspolicies VALUES ('secure.example', 'secure', 'match=nexthop'), ('may.example', 'may', NULL);";

/// The maps of the host, as files in `etc/sql`.
const HOSTED: [(&str, &str); 4] = [
    (
        "virtual-domains",
        "SELECT 1 FROM domain WHERE domain='%s' AND active = '1'",
    ),
    (
        "virtual-mailboxes",
        "SELECT 1 FROM mailbox WHERE username = '%s' AND active = '1'",
    ),
    (
        "virtual-aliases",
        "SELECT goto FROM alias WHERE address = '%s' AND active = '1'",
    ),
    (
        "tls-policy",
        "SELECT policy, params FROM tlspolicies WHERE domain = '%s'",
    ),
];

const LOCAL_ALIASES: &str = "abuse       abuse@example.net\nclamav      admin@example.net\n\
    hostmaster  hostmaster@example.net\npostmaster  postmaster@example.net\nroot        admin@example.net\n";

const TRANSPORT: &str = "example.net    lmtp:unix:private/dovecot-lmtp\n\
    .example.net   lmtp:unix:private/dovecot-lmtp\nmicrosoft.com   relay:[maeve.vpn.example.net]:25\n\
    /.*@hotmail.*/i relay:[maeve.vpn.example.net]:25\nmailbox.org     relay:[dolores.vpn.example.net]\n\
    *               relay:[dolores.vpn.example.net]:25\n";

const NETWORKS: &str = "# IPv4 localhost\n127.0.0.0/8 OK\n\n# IPv6 localhost\n[::1]/128 OK\n[fe80::]/64 OK\n\
    172.27.88.10 OK\n2001:db8:3414:6b1d::10 OK\n203.0.113.54 OK\n172.27.88.0/24 OK\n\
    fdc1:d89e:b128:6a04::/64 OK\n";

/// A ViMbAdmin host whose tables are called `KIND:FILE` with `kind` before.
fn mail_host(server: &MariaDb, kind: &str, retry_interval: &str) -> Instance {
    let mut instance = Instance::for_test(
        &format!(
            "mydomain = example.net\nmyhostname = mail.${{mydomain}}\nmyorigin = charlotte.${{mydomain}}\n\
             recipient_delimiter = +-\nstrict_rfc821_envelopes = yes\n\
             mynetworks = cidr:${{config_directory}}/mynetworks.cidr\n\
             virtual_mailbox_domains = {kind}:${{config_directory}}/sql/virtual-domains.cf\n\
             virtual_mailbox_maps = {kind}:${{config_directory}}/sql/virtual-mailboxes.cf\n\
             virtual_alias_maps = hash:${{config_directory}}/virtual {kind}:${{config_directory}}/sql/virtual-aliases.cf\n\
             virtual_transport = lmtp:unix:private/dovecot-lmtp\n\
             transport_maps = hash:${{config_directory}}/transport\n\
             smtp_tls_policy_maps = {kind}:${{config_directory}}/sql/tls-policy.cf\n{NO_PENALTIES}"
        ),
        "",
    );
    fs::create_dir(instance.file("etc/sql")).unwrap();
    for (name, query) in HOSTED {
        let text = format!(
            "hosts = 127.0.0.1:{}\nuser = postfix\npassword = secret\ndbname = vimbadmin\n\
             query = {query}\n{retry_interval}",
            server.port()
        );
        instance.write(&format!("etc/sql/{name}.cf"), text.as_bytes());
    }
    for (name, text) in [("virtual", LOCAL_ALIASES), ("transport", TRANSPORT)] {
        instance.write(&format!("etc/{name}"), text.as_bytes());
        let table = format!("hash:{}", instance.file("etc").join(name).display());
        instance.succeed("postmap", &[&table]);
    }
    instance.write("etc/mynetworks.cidr", NETWORKS.as_bytes());
    instance.start().unwrap();
    instance
}

const HOSTED_RECIPIENTS: &Recipients = &[
    ("joe@example.net", 250),
    ("nobody@example.net", 550),
    ("Joe+x@Example.NET", 250),
    ("off@example.net", 550),
    ("info@example.net", 250),
    ("old@example.net", 550),
    ("o'brien@example.net", 250),
    ("\"' or '1'='1\"@example.net", 550),
    ("x@microsoft.com", 250),
    ("x@off.example", 250),
    ("postmaster", 250),
];

/// All four maps, as postmap(1) sees them.
fn check_maps(instance: &Instance, kind: &str) {
    for (name, key, want) in [
        ("virtual-domains", "Example.net", "1\n"),
        ("virtual-domains", "off.example", ""),
        ("virtual-mailboxes", "joe@example.net", "1\n"),
        ("virtual-mailboxes", "off@example.net", ""),
        (
            "virtual-aliases",
            "info@example.net",
            "joe@example.net,joe@elsewhere.example\n",
        ),
        ("tls-policy", "secure.example", "secure,match=nexthop\n"),
        ("tls-policy", "may.example", "may\n"),
    ] {
        let table = format!("{kind}:{}/{name}.cf", instance.file("etc/sql").display());
        let output = instance.run("postmap", &["-q", key, &table]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text, want, "{table} {key} {output:?}");
    }
}

#[test]
fn a_thousand_recipients_at_once_are_judged_rightly_or_later_whatever_the_database_does() {
    let Some(mut server) = MariaDb::start_new(&[]) else {
        return skip("a storm on MariaDB", "MariaDB is not installed");
    };
    server.sql(VIMBADMIN);
    let kinds = ["mysql", "proxy:mysql"];
    let hosts = kinds.map(|kind| mail_host(&server, kind, "retry_interval = 1\n"));
    for (kind, host) in kinds.iter().zip(&hosts) {
        check_maps(host, kind);
    }
    let clients = |host: &Instance| [(host.port(), HOSTED_RECIPIENTS); 10];
    let (directly, proxied) = (clients(&hosts[0]), clients(&hosts[1]));
    // Both hosts have their storm at once, and the same trouble.
    let gate = &std::sync::Barrier::new(2);
    let [direct_host, proxy_host] = &hosts;
    thread::scope(|scope| {
        let other = scope.spawn(move || {
            storm(proxy_host, &proxied, |storm| {
                gate.wait();
                storm.after(100);
                gate.wait();
                storm.after(100);
            });
        });
        storm(direct_host, &directly, |storm| {
            gate.wait();
            for _ in 0..3 {
                server.sql("KILL USER postfix");
                storm.after(50);
            }
            let lock = server.lock(&["vimbadmin.domain", "vimbadmin.mailbox", "vimbadmin.alias"]);
            storm.calm();
            drop(lock);
            storm.after(100);
            server.hold(true);
            storm.calm();
            server.hold(false);
            storm.after(100);
            server.stop();
            storm.after_errors(100);
            server.start();
            storm.after(100);
            gate.wait();
        });
        other.join().unwrap();
    });
}

#[test]
fn a_database_that_hangs_costs_its_time_once() {
    let Some(server) = MariaDb::start_new(&[]) else {
        return skip("a hanging MariaDB", "MariaDB is not installed");
    };
    server.sql(VIMBADMIN);
    let host = &mail_host(&server, "mysql", "");
    let mut clients: Vec<SmtpClient> = (0..8).map(|_| host.smtp()).collect();
    for client in &mut clients {
        assert_eq!(client.say("MAIL FROM:<sender@example.test>").code, 250);
        assert_eq!(client.say("RCPT TO:<joe@example.net>").code, 250);
    }
    server.hold(true);
    let begin = Instant::now();
    thread::scope(|scope| {
        for (number, client) in clients.iter_mut().enumerate() {
            scope.spawn(move || {
                // Half a minute for the answer, and that is all.
                for address in ["info", "nobody", "joe", "off"] {
                    let reply = client.say(&format!("RCPT TO:<{address}.{number}@example.net>"));
                    assert_eq!(reply.code, 451, "{reply:?}");
                }
            });
        }
    });
    assert!(
        begin.elapsed() < Duration::from_secs(50),
        "{:?}",
        begin.elapsed()
    );
    server.hold(false);
}
