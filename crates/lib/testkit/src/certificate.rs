//! Certificates as old instructions make them.

use std::path::Path;
use std::process::Command;

/// Makes certificates of X.509 version 1 in `dir`: `ca.pem` of an authority, and `server.pem` for `localhost`
/// (by the common name: version 1 has no others), each with its `.key`. False when openssl is not installed.
///
/// # Panics
///
/// When it is installed and cannot make them.
#[must_use]
pub fn version_1_certificates(dir: &Path) -> bool {
    let run = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(dir);
        let output = command.output().ok();
        let output = output.filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    if run("version").is_none() {
        return false;
    }
    for (name, subject, old, new) in [
        ("ca", "authority", "-signkey ca.key", ""),
        (
            "server",
            "localhost",
            "-CA ca.pem -CAkey ca.key -CAcreateserial",
            "-CA ca.pem -CAkey ca.key",
        ),
    ] {
        let request = format!(
            "req -new -newkey rsa:2048 -nodes -subj /CN={subject} -keyout {name}.key -out {name}"
        );
        // Version 1 has to be asked for since OpenSSL 3.2.
        let asked = format!("{request}.pem -days 2 -x509v1 {new}");
        let made = run(asked.trim_end()).or_else(|| {
            run(&format!("{request}.csr"))?;
            run(&format!(
                "x509 -req -in {name}.csr {old} -days 2 -out {name}.pem"
            ))
        });
        made.expect("openssl makes a certificate");
        let text = run(&format!("x509 -in {name}.pem -noout -text")).unwrap_or_default();
        assert!(text.contains("Version: 1 "), "{text}");
    }
    true
}
