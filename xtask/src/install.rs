//! `cargo xtask install --root DIR`: a tree like that of Debian's Postfix package.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use nix::unistd::{Group, User, geteuid};

use crate::build::{self, Profile};

/// Programs in `usr/sbin`; the others go to `usr/lib/postfix/sbin`.
pub(crate) const COMMANDS: &[&str] = &[
    "postalias",
    "postcat",
    "postconf",
    "postdrop",
    "postfix",
    "postkick",
    "postlock",
    "postlog",
    "postmap",
    "postmulti",
    "postqueue",
    "postsuper",
    "qmqp-sink",
    "qmqp-source",
    "qshape",
    "sendmail",
    "smtp-sink",
    "smtp-source",
];

/// Set-gid programs.
const SETGID: &[&str] = &["postdrop", "postqueue"];

/// Daemons.
pub(crate) const DAEMONS: &[&str] = &[
    "anvil",
    "bounce",
    "cleanup",
    "discard",
    "error",
    "flush",
    "lmtp",
    "local",
    "master",
    "pickup",
    "pipe",
    "postlogd",
    "proxymap",
    "qmgr",
    "scache",
    "showq",
    "smtp",
    "smtpd",
    "spawn",
    "tlsmgr",
    "trivial-rewrite",
    "verify",
    "virtual",
];

/// Directory, whether the mail owner has it, whether the set-gid group has it, mode.
const QUEUES: &[(&str, bool, bool, u32)] = &[
    ("active", true, false, 0o700),
    ("bounce", true, false, 0o700),
    ("corrupt", true, false, 0o700),
    ("defer", true, false, 0o700),
    ("deferred", true, false, 0o700),
    ("flush", true, false, 0o700),
    ("hold", true, false, 0o700),
    ("incoming", true, false, 0o700),
    ("maildrop", true, true, 0o1730),
    ("pid", false, false, 0o755),
    ("private", true, false, 0o700),
    ("public", true, true, 0o2710),
    ("saved", true, false, 0o700),
    ("trace", true, false, 0o700),
];

/// Lays out the tree.
pub(crate) fn install(args: &[String]) -> Result<(), String> {
    let mut root = None;
    let mut profile = Profile::Release;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--root" => root = args.next(),
            "--debug" => profile = Profile::Debug,
            other => return Err(format!("install: unknown option {other}")),
        }
    }
    let root = Path::new(root.ok_or("install: --root DIR is missing")?);
    let bin = build::programs(profile)?;
    lay_out(root, &bin).map_err(|error| format!("install into {}: {error}", root.display()))?;
    println!("installed below {}", root.display());
    Ok(())
}

fn lay_out(root: &Path, bin: &Path) -> std::io::Result<()> {
    let owners = Owners::find();
    let sbin = root.join("usr/sbin");
    let libexec = root.join("usr/lib/postfix/sbin");
    let usr_bin = root.join("usr/bin");
    for directory in [&sbin, &libexec, &usr_bin] {
        fs::create_dir_all(directory)?;
    }
    for name in COMMANDS {
        copy(&bin.join(name), &sbin.join(name), 0o755)?;
        if SETGID.contains(name)
            && let Some(group) = owners.setgid
        {
            chown(sbin.join(name), Some(0), Some(group))?;
            fs::set_permissions(sbin.join(name), fs::Permissions::from_mode(0o2755))?;
        }
    }
    for name in DAEMONS {
        copy(&bin.join(name), &libexec.join(name), 0o755)?;
    }
    copy(
        &build::top().join("packaging/prepare-jail"),
        &root.join("usr/lib/postfix/prepare-jail"),
        0o755,
    )?;
    for name in ["post-install", "postfix-tls-script"] {
        let target = libexec.join(name);
        // Postfix's own scripts work with our programs, and can do more.
        let old = fs::read_to_string(&target).unwrap_or_default();
        if old.is_empty() || old.contains("POSTERN_BUILT_IN") {
            copy(&build::top().join("packaging/script"), &target, 0o755)?;
        }
    }
    for name in ["mailq", "newaliases"] {
        link("../sbin/sendmail", &usr_bin.join(name))?;
    }
    crate::man::write(&root.join("usr/share/man"))?;
    fs::create_dir_all(root.join("usr/lib"))?;
    link("../sbin/sendmail", &root.join("usr/lib/sendmail"))?;
    configuration(root)?;
    queue(root, &owners)
}

/// An existing configuration stays as it is: keeping it is what Postern is for.
fn configuration(root: &Path) -> std::io::Result<()> {
    let etc = root.join("etc/postfix");
    fs::create_dir_all(&etc)?;
    for name in ["main.cf", "master.cf"] {
        let target = etc.join(name);
        if !target.exists() {
            copy(
                &build::top().join(format!("{name}.example")),
                &target,
                0o644,
            )?;
        }
    }
    Ok(())
}

fn queue(root: &Path, owners: &Owners) -> std::io::Result<()> {
    let spool = root.join("var/spool/postfix");
    fs::create_dir_all(&spool)?;
    for &(name, mail_owned, group_owned, mode) in QUEUES {
        let directory = spool.join(name);
        fs::create_dir_all(&directory)?;
        if let (Some(mail), Some(setgid)) = (owners.mail, owners.setgid) {
            chown(
                &directory,
                Some(if mail_owned { mail } else { 0 }),
                Some(if group_owned { setgid } else { 0 }),
            )?;
        }
        fs::set_permissions(&directory, fs::Permissions::from_mode(mode))?;
    }
    let data = root.join("var/lib/postfix");
    fs::create_dir_all(&data)?;
    if let Some(mail) = owners.mail {
        chown(&data, Some(mail), None)?;
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// IDs of `postfix` and `postdrop`; none when not root, or when they do not exist.
struct Owners {
    mail: Option<u32>,
    setgid: Option<u32>,
}

impl Owners {
    fn find() -> Self {
        if !geteuid().is_root() {
            eprintln!("not root: owners and set-gid bits are left as they come");
            return Self {
                mail: None,
                setgid: None,
            };
        }
        let mail = User::from_name("postfix")
            .ok()
            .flatten()
            .map(|user| user.uid.as_raw());
        let setgid = Group::from_name("postdrop")
            .ok()
            .flatten()
            .map(|group| group.gid.as_raw());
        if mail.is_none() || setgid.is_none() {
            eprintln!(
                "no user postfix or no group postdrop: owners and set-gid bits are left as they come"
            );
        }
        Self { mail, setgid }
    }
}

/// Replaces atomically: a running program keeps its file.
fn copy(from: &Path, to: &Path, mode: u32) -> std::io::Result<()> {
    let fresh = to.with_extension("new");
    fs::copy(from, &fresh).map_err(|error| {
        std::io::Error::new(error.kind(), format!("{}: {error}", from.display()))
    })?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(mode))?;
    fs::rename(&fresh, to)
}

fn link(target: &str, at: &Path) -> std::io::Result<()> {
    match fs::remove_file(at) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(target, at)
}
