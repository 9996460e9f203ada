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
    assert!(
        text.contains("/master.cf, line 2: service x: there is no program"),
        "{text}"
    );
    assert_eq!(check("nonsense\n", good).0, Some(2));
}
