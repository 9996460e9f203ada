//! postfix(1) beyond start and stop: files of an installation, scripts of the site, comparisons.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use postern_testkit::Instance;

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).expect("metadata").mode() & 0o7777
}

#[test]
fn directories_that_a_site_adds_are_made_and_keep_their_mode() {
    let mut instance = Instance::for_test("", "");
    let meta = instance.file("meta");
    fs::create_dir_all(meta.join("postfix-files.d")).expect("meta directory");
    let owner = instance.account().user.clone();
    instance.set_main_cf(&format!("meta_directory = {}\n", meta.display()));
    instance.write(
        "meta/postfix-files.d/site",
        format!(
            "$queue_directory/site:d:{owner}:-:750:uc\n$queue_directory/none:d:{owner}:-:750:u\n"
        )
        .as_bytes(),
    );
    instance.succeed("postfix", &["check"]);
    let site = instance.file("spool/site");
    assert_eq!(mode(&site), 0o750);
    fs::set_permissions(&site, Permissions::from_mode(0o777)).expect("chmod");
    // The other entry is missing: it is told, and does not keep the first one from being set right.
    let output = instance.run("postfix", &["set-permissions"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("spool/none'"));
    assert_eq!(mode(&site), 0o750);
}

#[test]
fn settings_are_written_before_permissions_are_set_and_only_when_they_are_good() {
    let instance = Instance::for_test("", "");
    let main_cf = || fs::read_to_string(instance.file("etc/main.cf")).expect("main.cf");
    let before = main_cf();
    let bad = instance.run("postfix", &["set-permissions", "mail_owner=no-such-user"]);
    assert!(!bad.status.success());
    let wrong = instance.run("postfix", &["set-permissions", "sample_directory=rel"]);
    assert!(!wrong.status.success());
    assert_eq!(main_cf(), before);
    instance.succeed(
        "postfix",
        &["set-permissions", "sample_directory=/nonexistent"],
    );
    assert!(main_cf().contains("\nsample_directory = /nonexistent\n"));
}

#[test]
fn a_script_of_the_site_replaces_the_commands() {
    let mut instance = Instance::for_test("", "");
    let directory = instance.file("site");
    fs::create_dir_all(&directory).expect("directory");
    instance.set_main_cf(&format!("daemon_directory = {}\n", directory.display()));
    instance.write(
        "site/postfix-script",
        b"#!/bin/sh\necho \"$#:$1:$2 $queue_directory $MAIL_CONFIG $PATH\"\nexit 7\n",
    );
    let path = directory.join("postfix-script");
    fs::set_permissions(path, Permissions::from_mode(0o755)).expect("chmod");
    let output = instance.run("postfix", &["start", "x y"]);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!(
            "2:start:x y {} {} /bin:/usr/bin:/sbin:/usr/sbin\n",
            instance.file("spool").display(),
            instance.file("etc").display()
        )
    );
}

#[test]
fn the_upgrade_adds_services_once() {
    let instance = Instance::for_test("", "");
    instance.write("etc/master.cf", b"cleanup unix - - n - 0 cleanup\n");
    let said = instance.succeed("postfix", &["upgrade-configuration"]);
    assert!(said.contains("making the cleanup service public"), "{said}");
    assert!(
        said.contains("adding missing entry for relay service"),
        "{said}"
    );
    let text = fs::read_to_string(instance.file("etc/master.cf")).expect("master.cf");
    assert!(
        text.starts_with("cleanup unix n - n - 0 cleanup\nrelay"),
        "{text}"
    );
    assert_eq!(instance.succeed("postfix", &["upgrade-configuration"]), "");
}

#[test]
fn check_compat_lists_differences_and_tells_by_its_status() {
    let instance = Instance::for_test("", "");
    let check = |main_cf: &str, master_cf: &str| {
        instance.write("other/main.cf", main_cf.as_bytes());
        instance.write("other/master.cf", master_cf.as_bytes());
        let directory = instance.file("other");
        let mut command = instance.command("postfix");
        let output = command
            .args(["-c", &directory.to_string_lossy(), "check", "--compat"])
            .output()
            .expect("postfix");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (
            output.status.code(),
            text.replace(&*directory.to_string_lossy(), ""),
        )
    };
    fs::create_dir_all(instance.file("other")).expect("directory");
    let good = "smtp inet n - n - - smtpd\n";
    assert_eq!(
        check("myhostname = a.example\n", good),
        (Some(0), String::new())
    );
    let (status, text) = check(
        "alias_maps = hahs:/x\n",
        &format!("{good}x unix - - n - - no-such-program\n"),
    );
    assert_eq!(status, Some(1));
    assert!(
        text.contains("/main.cf, line 1: alias_maps: there is no table type \"hahs\""),
        "{text}"
    );
    let directory = instance.file("other");
    let mut command = instance.command("postfix");
    command.args([
        "-c",
        &directory.to_string_lossy(),
        "check",
        "--compat",
        "--json",
    ]);
    let output = command.output().expect("postfix");
    let first = String::from_utf8_lossy(&output.stdout);
    let first = first.lines().next().expect("a difference");
    let object: serde_json::Value = serde_json::from_str(first).expect("JSON");
    assert_eq!(object["kind"], "table type");
    assert_eq!(
        (&object["name"], &object["value"]),
        (&"alias_maps".into(), &"hahs".into())
    );
    assert!(
        text.contains("/master.cf, line 2: service x: there is no program"),
        "{text}"
    );
    assert_eq!(check("nonsense\n", good).0, Some(2));
}

/// A stand-in for openssl(1): the kind of a key is its first word, and its public half the second.
const OPENSSL: &str = r#"#!/bin/sh
in=; previous=
for word; do [ "$previous" = -in ] && in=$word; previous=$word; done
case "$1" in
genrsa) case "$2" in *[!0-9]*) echo "bad size $2" >&2; exit 1;; esac; echo "rsa new";;
ecparam) echo "ec new";;
rsa|ec) read -r kind public <"$in" && [ "$kind" = "$1" ] || exit 1; printf '\052\206\110\316\075\002\001%s' "$public";;
pkey) [ "$in" ] && cat "$in" || cat;;
x509) read -r kind public <"$in" && [ "$kind" = cert ] || exit 1; printf '\052\206\110\316\075\002\001%s' "$public";;
dgst) echo "digest-of-$(tail -c +8) *stdin";;
req) cat >request; echo "cert new";;
esac
"#;

/// An instance whose openssl(1) is [`OPENSSL`].
fn with_openssl(main_cf: &str) -> Instance {
    let mut instance = Instance::for_test("", "");
    instance.write("openssl", OPENSSL.as_bytes());
    let program = instance.file("openssl");
    fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("chmod");
    instance.set_main_cf(&format!("openssl_path = {}\n{main_cf}", program.display()));
    instance
}

/// The TLS settings of main.cf, in its order, with stamps and the directory taken away.
fn tls_settings(instance: &Instance) -> Vec<String> {
    let text = fs::read_to_string(instance.file("etc/main.cf")).expect("main.cf");
    let directory = format!("{}/", instance.file("etc").display());
    let lines = text.lines().filter(|line| line.contains("tls_"));
    lines
        .map(|line| {
            let line = line.replace(&directory, "");
            let digits = |c: char| c.is_ascii_digit() || c == '-';
            match line.split_once(".pem") {
                Some((head, _)) => head.trim_end_matches(digits).to_owned(),
                None => line,
            }
        })
        .collect()
}

fn new_file(instance: &Instance, prefix: &str) -> std::path::PathBuf {
    let entries = fs::read_dir(instance.file("etc")).expect("directory");
    let mut paths = entries.map(|entry| entry.expect("entry").path());
    let is_it = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(prefix)
    };
    paths.find(is_it).expect("a new file")
}

#[test]
fn tls_is_enabled_once_and_settings_of_the_administrator_stay() {
    let instance = with_openssl("smtp_tls_loglevel = 2\n");
    instance.succeed("postfix", &["tls", "all-default-client"]);
    instance.succeed("postfix", &["tls", "enable-client"]);
    let data = instance.succeed("postconf", &["-xh", "data_directory"]);
    let want = [
        "smtp_tls_loglevel = 1".to_owned(),
        "smtp_tls_security_level = may".to_owned(),
        format!(
            "smtp_tls_session_cache_database = lmdb:{}/smtp_scache",
            data.trim()
        ),
        "tls_random_source = dev:/dev/urandom".to_owned(),
    ];
    assert_eq!(tls_settings(&instance), want);
    assert!(
        !instance
            .run("postfix", &["tls", "all-default-client"])
            .status
            .success()
    );
    instance.succeed("postfix", &["tls", "enable-client", "-r", "dev:/x"]);
    assert_eq!(tls_settings(&instance), want);
    for bad in [
        &["tls"][..],
        &["tls", "enable-client", "-x"],
        &["tls", "enable-client", "y"],
        &["tls", "nosuch"],
    ] {
        assert_eq!(
            instance.run("postfix", bad).status.code(),
            Some(1),
            "{bad:?}"
        );
    }
}

#[test]
fn the_server_gets_a_key_and_a_certificate_of_its_own() {
    let instance = with_openssl("");
    instance.succeed(
        "postfix",
        &["tls", "enable-server", "-r", "dev:/x", "a.test", "b.test"],
    );
    assert_eq!(
        tls_settings(&instance),
        [
            "smtpd_tls_cert_file = cert",
            "smtpd_tls_key_file = key",
            "smtpd_tls_loglevel = 1",
            "smtpd_tls_received_header = yes",
            "smtpd_tls_security_level = may",
            "tls_random_source = dev:/x"
        ]
    );
    assert_eq!(mode(&new_file(&instance, "key-")), 0o600);
    assert_eq!(mode(&new_file(&instance, "cert-")), 0o644);
    assert!(
        !instance
            .run("postfix", &["tls", "all-default-server"])
            .status
            .success()
    );
    let tlsa = instance.succeed("postfix", &["tls", "output-server-tlsa", "-h", "mx.test"]);
    assert!(
        tlsa.ends_with("\n_25._tcp.mx.test. IN TLSA 3 1 1 digest-of-new\n"),
        "{tlsa}"
    );
    let request = instance.succeed("postfix", &["tls", "output-server-csr"]);
    assert_eq!(request, "cert new\n");
    // A second certificate has other files, also within the same second.
    instance.succeed("postfix", &["tls", "new-server-cert"]);
    instance.succeed("postfix", &["tls", "new-server-key", "-a", "ecdsa"]);
    assert_eq!(mode(&new_file(&instance, "eckey-")), 0o600);
}

#[test]
fn certificates_are_deployed_with_their_key_only() {
    let instance = with_openssl("");
    instance.write("etc/new.key", b"ec one\n");
    instance.write("etc/new.crt", b"cert one\n");
    instance.write("etc/other.crt", b"cert two\n");
    let refused = |words: &[&str]| {
        let output = instance.run("postfix", &[&["tls"], words].concat());
        assert_eq!(output.status.code(), Some(1), "{words:?}");
    };
    refused(&["deploy-server-cert", "other.crt", "new.key"]);
    refused(&["deploy-server-cert", "new.key", "new.key"]);
    refused(&["deploy-server-cert", "new.crt", "new.crt"]);
    refused(&["deploy-server-cert", "new.crt"]);
    refused(&["new-server-key", "-a", "dsa"]);
    refused(&["new-server-key", "-b", "x"]);
    refused(&["output-server-tlsa"]);
    refused(&["output-server-csr", "-k", "nosuch"]);
    assert_eq!(tls_settings(&instance), Vec::<String>::new());
    let log = instance.log();
    for text in [
        "other.crt does not match key in",
        "fatal: error generating new rsa x private key",
        "warning: bad size x",
    ] {
        assert!(log.contains(text), "{text}: {log}");
    }
    instance.succeed(
        "postfix",
        &["tls", "deploy-server-cert", "new.crt", "new.key"],
    );
    let directory = instance.file("etc");
    let text = fs::read_to_string(directory.join("main.cf")).expect("main.cf");
    for (what, file) in [("cert", "new.crt"), ("key", "new.key")] {
        let line = format!(
            "\nsmtpd_tls_ec{what}_file = {}\n",
            directory.join(file).display()
        );
        assert!(text.contains(&line), "{text}");
    }
}
