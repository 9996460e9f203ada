//! A mail host with its maps in MariaDB goes through an outage of the database.

use std::thread;

use postern_testkit::{Instance, MariaDb, content, skip, wait_for};

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
        let maildrop = std::fs::read_dir(instance.file("spool/maildrop"));
        (maildrop.unwrap().count() == 0).then_some(())
    });
    instance.wait_queue_empty();
    let local = (0..4).map(|number| format!("local {number}"));
    for subject in accepted.into_iter().chain(local) {
        instance.wait_mail("joe", &format!("\nSubject: {subject}\n"));
    }
    assert_eq!(instance.defects(), Vec::<String>::new());
}
