//! The members of a list: addresses, files, commands, further lists (delivery.md §3.3).

use std::path::PathBuf;

use bstr::{BStr, BString, ByteSlice};
use postern_delivery::Outcome;
use postern_ipc::rewrite::resolve_flag;
use postern_mail::address;
use postern_mail::address_tree::{self, Address};
use postern_rewrite::Context;

use crate::job::{Job, configuration_error, dsn};
use crate::mail::Mail;
use crate::rights::Rights;
use crate::{command, destination_file, forward, include, recipient};

/// What a member of a list is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Member {
    /// `/path`.
    File(BString),
    /// `~/path`.
    HomeFile(BString),
    /// `|command`.
    Command(BString),
    /// `:include:/path`.
    Include(BString),
    /// Anything else, in external form.
    Address(BString),
}

impl Member {
    fn of(address: &Address) -> Self {
        const INCLUDE: &[u8] = b":include:";
        let text = address.internal();
        match text.first() {
            Some(b'/') => Self::File(text),
            Some(b'~') => Self::HomeFile(text),
            Some(b'|') => Self::Command(text[1..].into()),
            Some(b':')
                if text
                    .get(..INCLUDE.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(INCLUDE)) =>
            {
                Self::Include(text[INCLUDE.len()..].into())
            }
            _ => Self::Address(address.external()),
        }
    }
}

/// The members that `text` names.
fn members(text: &BStr) -> Vec<Member> {
    let nodes = address_tree::parse(text, 0);
    let is_some =
        |address: &&Address| !matches!(address, Address::Tokens(tokens) if tokens.is_empty());
    address_tree::addresses(&nodes)
        .filter(is_some)
        .map(Member::of)
        .collect()
}

/// Delivers to every member that `text` names; returns how many there are, too.
pub(crate) fn list(
    job: &mut Job<'_>,
    mail: &Mail,
    rights: &Rights,
    text: &BStr,
) -> (Outcome, usize) {
    let members = members(text);
    let mut outcome = Outcome::Done;
    for member in &members {
        outcome = outcome.and(deliver(job, mail, rights, member));
    }
    (outcome, members.len())
}

fn deliver(job: &mut Job<'_>, mail: &Mail, rights: &Rights, member: &Member) -> Outcome {
    match member {
        Member::File(path) => destination_file::deliver(job, mail, rights, path),
        Member::HomeFile(text) => deliver_below_home(job, mail, rights, text),
        Member::Command(text) => command::deliver_member(job, mail, rights, text),
        Member::Include(path) => include::deliver(job, mail, rights, path),
        Member::Address(address) => deliver_to_address(job, mail, address),
    }
}

fn deliver_below_home(job: &mut Job<'_>, mail: &Mail, rights: &Rights, text: &BString) -> Outcome {
    let Some(rest) = text.strip_prefix(b"~/") else {
        log::warn!("bad home directory syntax for: {text}");
        return job.fail(mail, &configuration_error("5.3.5"));
    };
    let Some(home) = &rights.home else {
        log::warn!("unknown home directory for: {text}");
        return job.fail(mail, &configuration_error("5.3.5"));
    };
    let mut path = path_bytes(home);
    path.push(b'/');
    path.extend_from_slice(rest);
    destination_file::deliver(job, mail, rights, &path)
}

/// A path as bytes.
pub(crate) fn path_bytes(path: &std::path::Path) -> BString {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().into()
}

/// Bytes as a path.
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

fn deliver_to_address(job: &mut Job<'_>, mail: &Mail, external: &BString) -> Outcome {
    let rewritten = match job
        .local
        .addresses
        .rewrite(Context::Local, external.as_bstr())
    {
        Ok(rewritten) => rewritten,
        Err(error) => {
            log::warn!("{error}");
            return job.fail(mail, &dsn("4.3.0", "address resolver failure"));
        }
    };
    let address = address::unquote(rewritten.as_bstr());
    deliver_resolved(job, mail, address)
}

/// Delivers to a complete address, with the extension that is left over: here, when it resolves to this transport, else in a message of its
/// own.
pub(crate) fn deliver_resolved(job: &mut Job<'_>, mail: &Mail, address: BString) -> Outcome {
    let resolved = job
        .local
        .addresses
        .resolve(mail.sender.as_bstr(), address.as_bstr());
    let mut next = mail.clone();
    if resolved.failed() {
        return job.fail(mail, &dsn("4.3.0", "address resolver failure"));
    }
    if resolved.flags & resolve_flag::ERROR != 0 {
        let reason = format!("bad recipient address syntax: {}", resolved.recipient);
        return job.fail(mail, &dsn("5.1.3", reason));
    }
    next.recipient.recipient = match &mail.unmatched {
        Some(extension) => address::append_extension(resolved.recipient.as_bstr(), extension),
        None => resolved.recipient,
    };
    if resolved.transport == job.relay.as_str() {
        return recipient::deliver(job, next);
    }
    forward::add(job, &next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_told_apart_by_their_first_character() {
        let file = |text: &str| Member::File(text.into());
        let command = |text: &str| Member::Command(text.into());
        let include = |text: &str| Member::Include(text.into());
        let address = |text: &str| Member::Address(text.into());
        let cases: &[(&str, &[Member])] = &[
            (
                "bob, Carol <carol@remote.example> (x)",
                &[address("bob"), address("carol@remote.example")],
            ),
            (
                "/var/mail/x \"/with space\"",
                &[file("/var/mail/x"), file("/with space")],
            ),
            ("~/box", &[Member::HomeFile("~/box".into())]),
            ("|\"prog -a b\"", &[command("prog -a b")]),
            ("\"| exit 0\"", &[command(" exit 0")]),
            ("|/bin/x yy", &[command("/bin/x"), address("yy")]),
            (":Include:/etc/list", &[include("/etc/list")]),
            ("\":include: /etc/list\"", &[include(" /etc/list")]),
            ("\"\"", &[address("\"\"")]),
            ("<>, ,,", &[]),
            ("", &[]),
        ];
        for (text, want) in cases {
            assert_eq!(members(text.as_bytes().as_bstr()), *want, "{text}");
        }
    }
}
