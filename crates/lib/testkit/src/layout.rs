//! The files and directories of an instance.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::unistd::{Gid, Uid, chown};

use crate::{Account, Suite};

/// What an instance is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its programs.
    pub suite: Suite,
    /// Where everything goes.
    pub root: PathBuf,
    /// SMTP port on 127.0.0.1.
    pub port: u16,
    /// main.cf lines that replace or follow the usual ones, one parameter a line.
    pub main_cf: String,
    /// More master.cf lines.
    pub master_cf: String,
}

impl Settings {
    /// Makes all of it.
    pub(crate) fn lay_out(&self, account: &Account) -> std::io::Result<()> {
        for name in ["etc", "spool", "lib", "vmail"] {
            fs::create_dir_all(self.root.join(name))?;
        }
        for name in ["lib", "vmail"] {
            give_to_mail(account, &self.root.join(name))?;
        }
        self.write_configuration(account)?;
        self.make_queue(account)
    }

    /// Writes main.cf and master.cf. Programs linger over files that were changed within the last
    /// seconds, so both look older than they are.
    pub(crate) fn write_configuration(&self, account: &Account) -> std::io::Result<()> {
        let main_cf = merge(&self.base_main_cf(account), &self.main_cf);
        let master_cf = base_master_cf(self.port) + &self.master_cf;
        write_aged(&self.root.join("etc/main.cf"), main_cf.as_bytes())?;
        write_aged(&self.root.join("etc/master.cf"), master_cf.as_bytes())
    }

    /// The queue directories, as `postfix check` would make them: a first start needs no set-up then.
    fn make_queue(&self, account: &Account) -> std::io::Result<()> {
        let spool = self.root.join("spool");
        for name in [
            "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming",
            "private", "saved", "trace",
        ] {
            make_directory(account, &spool.join(name), 0o700, true, None)?;
        }
        let setgid = Some(account.setgid);
        make_directory(account, &spool.join("maildrop"), 0o1730, true, setgid)?;
        make_directory(account, &spool.join("public"), 0o2710, true, setgid)?;
        make_directory(account, &spool.join("pid"), 0o755, false, None)
    }

    fn base_main_cf(&self, account: &Account) -> String {
        let root = self.root.display();
        let commands = self.suite.commands.display();
        let daemons = self.suite.daemons.display();
        let meta = self.suite.meta_directory(&self.root);
        let meta = meta.display();
        let Account {
            user,
            group,
            uid,
            gid,
            ..
        } = account;
        let setgid = if account.privileged {
            format!("setgid_group = {group}\n")
        } else {
            String::new()
        };
        format!(
            "compatibility_level = 3.6\n\
             queue_directory = {root}/spool\n\
             data_directory = {root}/lib\n\
             command_directory = {commands}\n\
             daemon_directory = {daemons}\n\
             sendmail_path = {commands}/sendmail\n\
             mailq_path = {commands}/mailq\n\
             newaliases_path = {commands}/newaliases\n\
             meta_directory = {meta}\n\
             mail_owner = {user}\n\
             {setgid}\
             maillog_file = {root}/maillog\n\
             maillog_file_prefixes = {root}\n\
             myhostname = mail.example.test\n\
             mydestination =\n\
             alias_maps =\n\
             alias_database =\n\
             mynetworks = 127.0.0.0/8\n\
             inet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\n\
             biff = no\n\
             virtual_mailbox_domains = example.test\n\
             virtual_mailbox_base = {root}/vmail\n\
             virtual_mailbox_maps = inline:{{ {{alice@example.test = alice/}}, {{bob@example.test = bob/}} }}\n\
             virtual_uid_maps = static:{uid}\n\
             virtual_gid_maps = static:{gid}\n\
             virtual_minimum_uid = 1\n"
        )
    }
}

/// Base lines whose parameter `more` sets too are left out: a second setting draws a warning.
fn merge(base: &str, more: &str) -> String {
    let name = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let replaced: HashSet<String> = more.lines().map(name).collect();
    let mut text: String = base
        .lines()
        .filter(|line| !replaced.contains(&name(line)))
        .flat_map(|line| [line, "\n"])
        .collect();
    text.push_str(more);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Writes a file that looks a minute old.
pub(crate) fn write_aged(path: &Path, content: &[u8]) -> std::io::Result<()> {
    fs::write(path, content)?;
    fs::File::options()
        .write(true)
        .open(path)?
        .set_modified(SystemTime::now() - Duration::from_secs(60))
}

fn make_directory(
    account: &Account,
    path: &Path,
    mode: u32,
    mail_owned: bool,
    group: Option<u32>,
) -> std::io::Result<()> {
    fs::create_dir_all(path)?;
    if account.privileged {
        let uid = if mail_owned { account.uid } else { 0 };
        let gid = group.unwrap_or(0);
        chown(path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn give_to_mail(account: &Account, path: &Path) -> std::io::Result<()> {
    if account.privileged {
        let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
        chown(path, Some(uid), Some(gid))?;
    }
    Ok(())
}

fn base_master_cf(port: u16) -> String {
    format!(
        "127.0.0.1:{port} inet n - n - - smtpd\n\
         pickup unix n - n 60 1 pickup\n\
         cleanup unix n - n - 0 cleanup\n\
         qmgr unix n - n 300 1 qmgr\n\
         tlsmgr unix - - n 1000? 1 tlsmgr\n\
         rewrite unix - - n - - trivial-rewrite\n\
         bounce unix - - n - 0 bounce\n\
         defer unix - - n - 0 bounce\n\
         trace unix - - n - 0 bounce\n\
         verify unix - - n - 1 verify\n\
         flush unix n - n 1000? 0 flush\n\
         proxymap unix - - n - - proxymap\n\
         proxywrite unix - - n - 1 proxymap\n\
         smtp unix - - n - - smtp\n\
         relay unix - - n - - smtp\n\
         showq unix n - n - - showq\n\
         error unix - - n - - error\n\
         retry unix - - n - - error\n\
         discard unix - - n - - discard\n\
         local unix - n n - - local\n\
         virtual unix - n n - - virtual\n\
         lmtp unix - - n - - lmtp\n\
         anvil unix - - n - 1 anvil\n\
         scache unix - - n - 1 scache\n\
         postlog unix-dgram n - n - 1 postlogd\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_set_twice_stands_once() {
        let base = "a = 1\nb = 2\n";
        assert_eq!(merge(base, "b = 3"), "a = 1\nb = 3\n");
        assert_eq!(merge(base, ""), base);
    }
}
