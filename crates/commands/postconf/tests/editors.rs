//! Many editors at once, readers beside them, and edits that cannot succeed: no edit is lost, no reader
//! sees a part of a file, and a failed edit leaves nothing behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const POSTCONF: &str = env!("CARGO_BIN_EXE_postconf");

fn postconf(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(POSTCONF)
        .args(["-c", "c"])
        .args(arguments)
        .current_dir(folder)
        .env_remove("MAIL_CONFIG")
        .output()
        .unwrap()
}

/// A scratch folder with a configuration in `c`.
fn scratch(main_cf: &str, master_cf: &str) -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir(scratch.path().join("c")).unwrap();
    fs::write(scratch.path().join("c/main.cf"), main_cf).unwrap();
    fs::write(scratch.path().join("c/master.cf"), master_cf).unwrap();
    scratch
}

#[track_caller]
fn check_failure(output: &Output, want: &str) {
    let errors = String::from_utf8_lossy(&output.stderr).replace(&format!("{POSTCONF}: "), "");
    assert_eq!(errors, format!("fatal: {want}\n"));
    assert_eq!(output.status.code(), Some(1));
}

const END: &str = "end_of_file = here\n";

/// What a tool like Ansible does all day, from several processes: set, read back, set again.
#[test]
fn editors_side_by_side_lose_no_edit_and_readers_see_whole_files() {
    const EDITORS: usize = 4;
    const ROUNDS: usize = 12;
    let filler: String = (0..300)
        .map(|number| format!("filler_{number} = {}\n", "x".repeat(60)))
        .collect();
    let names: String = (0..EDITORS)
        .flat_map(|editor| (0..ROUNDS).map(move |round| format!("name_{editor}_{round} = old\n")))
        .collect();
    let services: String = (0..EDITORS)
        .map(|editor| format!("s{editor} unix - - n - - smtp\n"))
        .collect();
    let scratch = scratch(&format!("{names}{filler}{END}"), &services);
    let folder = scratch.path();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0_usize;
            while !is_done.load(Ordering::Relaxed) {
                let text = fs::read_to_string(folder.join("c/main.cf")).unwrap();
                assert!(text.ends_with(END), "a part of main.cf was seen");
                assert_eq!(text.lines().count(), EDITORS * ROUNDS + 301);
                let services = fs::read_to_string(folder.join("c/master.cf")).unwrap();
                assert_eq!(services.matches("unix").count(), EDITORS);
                reads += 1;
            }
            reads
        });
        let editors: Vec<_> = (0..EDITORS)
            .map(|editor| {
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let setting = format!("name_{editor}_{round}=new");
                        assert!(postconf(folder, &["-e", &setting]).status.success());
                        let setting = format!("s{editor}/unix/option_{round}=set");
                        assert!(postconf(folder, &["-P", &setting]).status.success());
                    }
                })
            })
            .collect();
        for editor in editors {
            editor.join().unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
    let text = fs::read_to_string(folder.join("c/main.cf")).unwrap();
    assert_eq!(text.matches(" = new\n").count(), EDITORS * ROUNDS);
    assert_eq!(text.matches(" = old\n").count(), 0);
    let services = fs::read_to_string(folder.join("c/master.cf")).unwrap();
    assert_eq!(services.matches("=set").count(), EDITORS * ROUNDS);
    assert_eq!(fs::read_dir(folder.join("c")).unwrap().count(), 2);
}

#[test]
fn an_edit_without_change_gives_the_same_bytes() {
    let main_cf = "# head\n\na = 1\nb = x,\n  y\n# tail\n";
    let master_cf = "# head\nsmtp       inet  n       -       n       -       -       smtpd\n";
    let scratch = scratch(main_cf, master_cf);
    for _ in 0..3 {
        assert!(postconf(scratch.path(), &["-e", "a = 1"]).status.success());
        let edit = ["-F", "smtp/inet/chroot=n"];
        assert!(postconf(scratch.path(), &edit).status.success());
    }
    let read = |name: &str| fs::read_to_string(scratch.path().join("c").join(name)).unwrap();
    assert_eq!(read("main.cf"), main_cf);
    assert_eq!(read("master.cf"), master_cf);
}

#[test]
fn a_file_that_cannot_be_written_whole_changes_nothing() {
    let long = format!("a = 1\n{}", "# comment\n".repeat(1000));
    let scratch = scratch(&long, "smtp inet n - n - - smtpd\n");
    // No file may grow beyond one block: as good as a full disk, without one.
    let output = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"",
            POSTCONF,
        ])
        .args(["-c", "c", "-e", "a=2"])
        .current_dir(scratch.path())
        .output()
        .unwrap();
    check_failure(&output, "close c/main.cf.tmp: File too large");
    let now = fs::read_to_string(scratch.path().join("c/main.cf")).unwrap();
    assert_eq!(now, long);
    assert!(!scratch.path().join("c/main.cf.tmp").exists());
}

#[test]
fn missing_files_are_named_and_not_made() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let open = "No such file or directory";
    check_failure(
        &postconf(folder, &["-e", "a=1"]),
        &format!("open c/main.cf.tmp: {open}"),
    );
    check_failure(
        &postconf(folder, &["-n"]),
        &format!("open c/main.cf: {open}"),
    );
    fs::create_dir(folder.join("c")).unwrap();
    for (arguments, file) in [
        (["-e", "a=1"], "main.cf"),
        (["-X", "a"], "main.cf"),
        (["-MX", "a/unix"], "master.cf"),
        (["-P", "a/unix/b=c"], "master.cf"),
    ] {
        check_failure(
            &postconf(folder, &arguments),
            &format!("open c/{file} for reading: {open}"),
        );
        assert_eq!(fs::read_dir(folder.join("c")).unwrap().count(), 0);
    }
}

#[test]
fn files_without_permission_are_left_alone() {
    let scratch = scratch("a = 1\n", "smtp inet n - n - - smtpd\n");
    let folder = scratch.path();
    let main_cf = folder.join("c/main.cf");
    fs::set_permissions(&main_cf, PermissionsExt::from_mode(0o000)).unwrap();
    if fs::read(&main_cf).is_ok() {
        // root reads everything.
        return;
    }
    check_failure(
        &postconf(folder, &["-e", "a=2"]),
        "open c/main.cf for reading: Permission denied",
    );
    check_failure(
        &postconf(folder, &["-n"]),
        "open c/main.cf: Permission denied",
    );
    fs::set_permissions(&main_cf, PermissionsExt::from_mode(0o644)).unwrap();
    fs::set_permissions(folder.join("c"), PermissionsExt::from_mode(0o555)).unwrap();
    check_failure(
        &postconf(folder, &["-e", "a=2"]),
        "open c/main.cf.tmp: Permission denied",
    );
    fs::set_permissions(folder.join("c"), PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(fs::read_to_string(&main_cf).unwrap(), "a = 1\n");
}

#[test]
fn links_in_place_of_the_temporary_file_are_not_followed() {
    let scratch = scratch("a = 1\n", "");
    let folder = scratch.path();
    let victim = folder.join("victim");
    fs::write(&victim, "keep").unwrap();
    std::os::unix::fs::symlink(&victim, folder.join("c/main.cf.tmp")).unwrap();
    assert!(postconf(folder, &["-e", "a=2"]).status.success());
    fs::hard_link(&victim, folder.join("c/main.cf.tmp")).unwrap();
    assert!(postconf(folder, &["-e", "a=3"]).status.success());
    assert_eq!(fs::read_to_string(&victim).unwrap(), "keep");
    assert_eq!(
        fs::read_to_string(folder.join("c/main.cf")).unwrap(),
        "a = 3\n"
    );
}
