//! `cargo xtask run`: an instance to try, with two messages through it.

use std::fs;
use std::io::{Read, Seek, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use postern_testkit::{Instance, Settings, Suite};

use crate::build::{self, Profile};

const DEFAULT_PORT: u16 = 2525;
/// How long a message may take to its mailbox.
const PATIENCE: Duration = Duration::from_secs(30);

struct Options {
    once: bool,
    profile: Profile,
    port: u16,
}

/// Builds, starts, shows mail flowing, serves until Ctrl-C.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let options = parse(args)?;
    // Asked before the build: nobody wants to learn it minutes later.
    TcpListener::bind(("127.0.0.1", options.port)).map_err(|error| {
        format!(
            "127.0.0.1:{}: {error}; stop what listens there, or choose another port with --port N",
            options.port
        )
    })?;
    step("building the programs");
    let bin = build::programs(options.profile)?;
    let root = instance_directory()?;
    clear_old(&root, &bin)?;
    step(&format!("making an instance in {}", root.display()));
    let settings = Settings {
        suite: Suite {
            commands: bin.clone(),
            daemons: bin,
        },
        root: root.clone(),
        port: options.port,
        main_cf: String::new(),
        master_cf: String::new(),
    };
    let mut instance = Instance::create(settings)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .map_err(|error| format!("signal handler: {error}"))?;
    }
    step("starting the mail system");
    instance.start()?;
    show_mail(&instance)?;
    if !options.once {
        serve(&instance, &interrupted)?;
    }
    step("stopping the mail system");
    instance.stop();
    Ok(())
}

fn parse(args: &[String]) -> Result<Options, String> {
    let mut options = Options {
        once: false,
        profile: Profile::Debug,
        port: DEFAULT_PORT,
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--once" => options.once = true,
            "--release" => options.profile = Profile::Release,
            "--port" => {
                let text = args.next().ok_or("run: --port needs a number")?;
                options.port = text
                    .parse()
                    .map_err(|_| format!("run: bad port number {text:?}"))?;
            }
            other => return Err(format!("run: unknown option {other}")),
        }
    }
    Ok(options)
}

/// `target/postern`, or, for root below a directory that the mail system's account cannot enter,
/// a directory below /var/tmp.
fn instance_directory() -> Result<PathBuf, String> {
    let wanted = build::target_directory().join("postern");
    if !nix::unistd::geteuid().is_root()
        || build::target_directory()
            .ancestors()
            .filter(|path| path.exists())
            .all(is_open)
    {
        return Ok(wanted);
    }
    let open = Path::new("/var/tmp/postern-run").to_owned();
    fs::create_dir_all(&open).map_err(|error| format!("{}: {error}", open.display()))?;
    println!(
        "   {} is closed to other accounts, so the instance goes to {}",
        wanted.display(),
        open.display()
    );
    Ok(open)
}

fn is_open(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|metadata| metadata.mode() & 0o001 != 0)
}

/// An earlier run may have been killed: its mail system is stopped, its directory removed.
fn clear_old(root: &Path, bin: &Path) -> Result<(), String> {
    if !root.join("etc/main.cf").exists() && !root.join("spool").exists() {
        return Ok(());
    }
    step(&format!(
        "removing the instance of an earlier run in {}",
        root.display()
    ));
    let _ = std::process::Command::new(bin.join("postfix"))
        .arg("stop")
        .env("MAIL_CONFIG", root.join("etc"))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    fs::remove_dir_all(root).map_err(|error| {
        format!(
            "remove {}: {error}; remove it by hand and try again",
            root.display()
        )
    })
}

/// One message by SMTP, one by sendmail; both mailboxes and the queue are shown.
fn show_mail(instance: &Instance) -> Result<(), String> {
    step(&format!(
        "sending a message to alice@example.test by SMTP to 127.0.0.1:{}",
        instance.port()
    ));
    let mut client = instance.smtp();
    let reply = client.send(
        "sender@example.test",
        &["alice@example.test"],
        "Subject: by SMTP\n\nHello Alice.\n",
    );
    println!("   the server said: {}", reply.lines.join(" / "));
    client.say("QUIT");
    step("sending a message to bob@example.test by sendmail");
    instance.sendmail(
        &["-f", "sender@example.test", "bob@example.test"],
        "Subject: by sendmail\n\nHello Bob.\n",
    );
    for user in ["alice", "bob"] {
        let path = delivered(instance, user)?;
        println!("   delivered: {}", path.display());
        let text = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        for line in String::from_utf8_lossy(&text)
            .lines()
            .take_while(|line| !line.is_empty())
        {
            println!("      {line}");
        }
    }
    let until = Instant::now() + PATIENCE;
    loop {
        let listing = instance.run("postqueue", &["-p"]);
        let text = String::from_utf8_lossy(&listing.stdout).into_owned();
        if text.contains("Mail queue is empty") {
            println!("   {}", text.trim_end());
            return Ok(());
        }
        if Instant::now() > until {
            return Err(format!(
                "the queue is not empty:\n{text}{}",
                String::from_utf8_lossy(&listing.stderr)
            ));
        }
        sleep(Duration::from_millis(50));
    }
}

fn delivered(instance: &Instance, user: &str) -> Result<PathBuf, String> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(path) = instance.maildir(user).into_iter().next() {
            return Ok(path);
        }
        if Instant::now() > until {
            return Err(format!(
                "no mail for {user} after {PATIENCE:?}; the log ends with:\n{}",
                instance.log_end()
            ));
        }
        sleep(Duration::from_millis(20));
    }
}

/// Copies the log to the terminal until Ctrl-C.
fn serve(instance: &Instance, interrupted: &AtomicBool) -> Result<(), String> {
    let config = instance.file("etc");
    step(&format!(
        "serving on 127.0.0.1:{}; commands: postqueue -c {} -p; Ctrl-C stops",
        instance.port(),
        config.display()
    ));
    let path = instance.file("maillog");
    let mut log = fs::File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let _ = log.rewind();
    let mut out = std::io::stdout();
    while !interrupted.load(Ordering::Relaxed) {
        let mut chunk = Vec::new();
        log.read_to_end(&mut chunk)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        if out.write_all(&chunk).and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
        sleep(Duration::from_millis(100));
    }
    println!();
    Ok(())
}

fn step(text: &str) {
    println!("-- {text}");
}
