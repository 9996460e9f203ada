//! Submission: reads the message and hands it to postdrop(1).

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, ExitStatus, Stdio};

use bstr::{BStr, BString, ByteSlice};
use postern_attr::{Encoding, Extra};
use postern_config::{Config, params};
use postern_dict::{MatchKind, MatchList};
use postern_ipc::cleanup::status;
use postern_ipc::deliver::flag;
use postern_ipc::postdrop::{Hello, PROTOCOL, Reply};
use postern_mail::address;
use postern_queue_file::RecordType;
use postern_queue_file::record::write_record;
use postern_sys::user;

use crate::fatal;
use crate::header::{self, Recipients};
use crate::options::Options;

/// Who submits.
struct Submitter {
    uid: u32,
    /// Envelope sender in internal form.
    sender: BString,
    full_name: BString,
}

/// Submits the message on standard input.
pub(crate) fn submit(config: &Config, options: &Options) -> ExitCode {
    let submitter = identify(config, options);
    let who = format!("{}({})", submitter.sender, submitter.uid);
    let named: Vec<BString> = options
        .operands
        .iter()
        .flat_map(|operand| operand_recipients(operand.as_bytes().as_bstr()))
        .collect();
    if options.operands.is_empty() && !options.extract_recipients {
        fatal(format_args!(
            "{who}: Recipient addresses must be specified on the command line or via the -t option"
        ));
    }
    if options.verp.is_some() && submitter.sender.is_empty() {
        fatal(format_args!(
            "{who}: -V option requires non-null sender address"
        ));
    }
    let trace_flags = if options.verify {
        flag::USER_VERIFY
    } else if options.verbose == 1 {
        flag::RECORD
    } else {
        0
    };
    let mut postdrop = Postdrop::start(config);
    let mut message = Message {
        config,
        options,
        submitter: &submitter,
        out: &mut postdrop.input,
    };
    let written = message
        .envelope(&named, trace_flags)
        .and_then(|()| message.content(&named));
    if let Ok(0) = written {
        postdrop.cancel();
        fatal(format_args!(
            "{who}: No recipient addresses found in message header"
        ));
    }
    // After a failed write, postdrop tells why it does not read any more.
    let reply = postdrop.finish(written.is_ok());
    if reply.status != status::OK {
        if reply.status & (status::SIZE | status::WRITE) != 0 {
            log::warn!("mail_stream_cleanup: close error");
        }
        let (text, ..) = status::detail(reply.status);
        fatal(format_args!(
            "{who}: {}",
            if reply.reason.is_empty() {
                BString::from(text)
            } else {
                reply.reason
            }
        ));
    }
    if trace_flags != 0 {
        postern_command::tell(format_args!(
            "Mail Delivery Status Report will be mailed to <{}>.",
            submitter.sender
        ));
    }
    ExitCode::SUCCESS
}

/// The caller's user number, account and login name.
fn caller() -> (u32, Option<user::User>, String) {
    let uid = user::uid();
    let account = match user::user_by_uid(uid) {
        Ok(account) => account,
        Err(error) => fatal(format_args!(
            "unable to look up user {uid}: {}",
            postern_sys::error_text(&error)
        )),
    };
    let login = account
        .as_ref()
        .map_or_else(|| "unknown".to_owned(), |account| account.name.clone());
    (uid, account, login)
}

/// Refuses callers who may not submit mail.
pub(crate) fn check_caller(config: &Config) {
    let (uid, _, login) = caller();
    check_user(config, uid, &login);
}

fn identify(config: &Config, options: &Options) -> Submitter {
    let (uid, account, login) = caller();
    check_user(config, uid, &login);
    let sender = match &options.sender {
        Some(text) => sender_address(text.as_bstr()),
        None => BString::from(login.as_str()),
    };
    let full_name = match (&options.full_name, std::env::var_os("NAME")) {
        (Some(name), _) => name.clone(),
        (None, Some(name)) => BString::from(name.as_bytes()),
        (None, None) => account
            .map(|account| full_name(account.gecos.as_bstr(), &login))
            .unwrap_or_default(),
    };
    Submitter {
        uid,
        sender,
        full_name,
    }
}

/// The first field of the passwd entry's comment; `&` stands for the login name.
fn full_name(gecos: &BStr, login: &str) -> BString {
    let mut capital = login.to_owned();
    if let Some(first) = capital.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let end = gecos.find_byteset(b",;%").unwrap_or(gecos.len());
    gecos[..end].replace("&", &capital).into()
}

/// `-f '<>'` and `-f ''` are the null sender. Of several addresses the first one counts.
fn sender_address(text: &BStr) -> BString {
    let mut found = header::all_addresses(text).into_iter();
    let first = found.next().unwrap_or_default();
    if found.next().is_some() {
        log::warn!("-f option specified malformed sender: {text}");
    }
    first
}

/// The recipients that one operand names. An operand without any, such as `<>`, is the empty address,
/// which cleanup(8) replaces by `empty_address_recipient`.
fn operand_recipients(operand: &BStr) -> Vec<BString> {
    let found = header::all_addresses(operand);
    if found.is_empty() {
        vec![BString::default()]
    } else {
        found
    }
}

/// A line that separates messages in a mailbox file, in front of the message: `From ` after any number
/// of `>`.
fn is_mailbox_separator(line: &[u8]) -> bool {
    line.trim_start_with(|character| character == '>')
        .starts_with(b"From ")
}

/// `authorized_submit_users` is enforced by postdrop(1), which the caller cannot go around; a refusal here
/// only comes earlier, and only a list of plain names is looked at.
fn check_user(config: &Config, uid: u32, login: &str) {
    let list = config.get(params::AUTHORIZED_SUBMIT_USERS);
    if uid == 0 || list == "static:anyone" {
        return;
    }
    let title = params::AUTHORIZED_SUBMIT_USERS.info.name;
    let mut users = MatchList::open_small(config, title, &list, MatchKind::Text);
    match users.matches(login.into()) {
        Ok(true) => {}
        Ok(false) => fatal(format_args!(
            "User {login}({uid}) is not allowed to submit mail"
        )),
        Err(error) => fatal(format_args!("{title}: {error}")),
    }
}

/// Writes the records of one message.
struct Message<'a, W: Write> {
    config: &'a Config,
    options: &'a Options,
    submitter: &'a Submitter,
    out: &'a mut W,
}

impl<W: Write> Message<'_, W> {
    fn put(&mut self, kind: RecordType, data: &[u8]) -> io::Result<()> {
        write_record(self.out, kind, data)
    }

    fn attribute(&mut self, name: &str, value: &[u8]) -> io::Result<()> {
        self.put(
            RecordType::ATTRIBUTE,
            &[name.as_bytes(), b"=", value].concat(),
        )
    }

    fn envelope(&mut self, recipients: &[BString], trace_flags: i32) -> io::Result<()> {
        let options = self.options;
        if let Some(id) = &options.envelope_id {
            self.attribute("envelope_id", id)?;
        }
        if options.ret != 0 {
            self.attribute("ret_flags", options.ret.to_string().as_bytes())?;
        }
        self.attribute(
            "rewrite_context",
            if options.gateway { b"remote" } else { b"local" },
        )?;
        if !self.submitter.full_name.is_empty() {
            self.put(RecordType::FULL_NAME, &self.submitter.full_name.clone())?;
        }
        self.put(RecordType::FROM, &self.submitter.sender.clone())?;
        if let Some(encoding) = options.encoding {
            self.attribute("encoding", encoding.as_bytes())?;
        }
        if trace_flags != 0 {
            self.attribute("trace_flags", trace_flags.to_string().as_bytes())?;
        }
        if let Some(delimiters) = &options.verp {
            let delimiters = if delimiters.is_empty() {
                self.config.get(params::DEFAULT_VERP_DELIMITERS)
            } else {
                delimiters.clone()
            };
            self.put(RecordType::VERP, delimiters.as_bytes())?;
        }
        self.recipients(recipients)?;
        self.put(RecordType::MESSAGE, b"")
    }

    fn recipients(&mut self, recipients: &[BString]) -> io::Result<()> {
        for recipient in recipients {
            if self.options.notify != 0 {
                self.attribute("notify_flags", self.options.notify.to_string().as_bytes())?;
            }
            self.put(RecordType::RECIPIENT, recipient)?;
        }
        Ok(())
    }

    /// Writes content and end; returns how many recipients there are in all.
    fn content(&mut self, named: &[BString]) -> io::Result<usize> {
        let mut extracted = Recipients::default();
        if self.options.verify {
            self.probe(named)?;
        } else {
            let mut input = BufReader::with_capacity(64 * 1024, io::stdin().lock());
            self.copy(&mut input, &mut extracted)?;
        }
        self.put(RecordType::EXTRACTED, b"")?;
        let mut count = named.len();
        if self.options.extract_recipients {
            let found = extracted.finish();
            count += found.len();
            if count == 0 {
                return Ok(0);
            }
            self.recipients(&found)?;
        }
        self.put(RecordType::END, b"")?;
        self.out.flush()?;
        // Arguments that hold no address are postdrop's to refuse.
        Ok(count.max(usize::from(!self.options.extract_recipients)))
    }

    /// `-bv`: a message of headers alone.
    fn probe(&mut self, recipients: &[BString]) -> io::Result<()> {
        let from = [
            b"From: ".as_slice(),
            &address::quote(self.submitter.sender.as_bstr()),
        ]
        .concat();
        self.put(RecordType::TEXT, &from)?;
        self.put(RecordType::TEXT, b"Subject: probe")?;
        for (number, recipient) in recipients.iter().enumerate() {
            let lead: &[u8] = if number == 0 { b"To:\t" } else { b"\t" };
            let end: &[u8] = if number + 1 < recipients.len() {
                b","
            } else {
                b""
            };
            self.put(
                RecordType::TEXT,
                &[lead, &address::quote(recipient.as_bstr()), end].concat(),
            )?;
        }
        Ok(())
    }

    /// Copies standard input up to its end, or to a line with a dot alone.
    fn copy(&mut self, input: &mut impl BufRead, extracted: &mut Recipients) -> io::Result<()> {
        let limit = usize::try_from(self.config.get(params::LINE_LENGTH_LIMIT))
            .unwrap_or(2048)
            .max(1);
        let strip = self.config.get(params::SENDMAIL_FIX_LINE_ENDINGS);
        let mut strip_cr = strip == "always";
        let mut first = true;
        let mut at_start = true;
        let mut in_separators = true;
        let mut header_line = Vec::new();
        loop {
            let mut line = Vec::new();
            // One more than a record holds, so that CR LF at the limit is seen.
            let size = input
                .by_ref()
                .take(limit as u64 + 2)
                .read_until(b'\n', &mut line)?;
            if size == 0 {
                break;
            }
            let ended = line.last() == Some(&b'\n');
            if ended {
                line.pop();
                if first {
                    strip_cr |= strip == "strict" && line.last() == Some(&b'\r');
                }
                while strip_cr && line.last() == Some(&b'\r') {
                    line.pop();
                }
            }
            first = false;
            if in_separators {
                in_separators = if at_start {
                    is_mailbox_separator(&line)
                } else {
                    true
                };
                if in_separators {
                    at_start = ended;
                    continue;
                }
            }
            if at_start && ended && self.options.dot_ends && line == b"." {
                break;
            }
            if self.options.extract_recipients {
                header_line.extend_from_slice(&line);
                if ended || header_line.len() > limit * 512 {
                    extracted.line(&std::mem::take(&mut header_line));
                }
            }
            self.text(&line, ended || size < limit + 2, limit)?;
            at_start = ended;
        }
        if !header_line.is_empty() {
            extracted.line(&header_line);
        }
        Ok(())
    }

    /// One line, or a part of one, in records of at most `limit` bytes.
    fn text(&mut self, mut line: &[u8], ended: bool, limit: usize) -> io::Result<()> {
        while line.len() > limit {
            let (part, rest) = line.split_at(limit);
            self.put(RecordType::TEXT_PART, part)?;
            line = rest;
        }
        self.put(
            if ended {
                RecordType::TEXT
            } else {
                RecordType::TEXT_PART
            },
            line,
        )
    }
}

/// The running postdrop(1).
struct Postdrop {
    child: Child,
    input: BufWriter<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Postdrop {
    /// Starts it and checks what it announces.
    fn start(config: &Config) -> Self {
        let path = PathBuf::from(config.get(params::COMMAND_DIRECTORY)).join("postdrop");
        let spawned = Command::new(&path)
            .arg("-r")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                let text = format!(
                    "execvp {}: {}",
                    path.display(),
                    postern_sys::error_text(&error)
                );
                postern_maillog::log(postern_maillog::Severity::Fatal, &text);
                Self::die(&path, Some(ExitStatus::from_raw(1 << 8)))
            }
        };
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            fatal(format_args!("execute {}: no pipe", path.display()));
        };
        let mut output = BufReader::new(output);
        let hello: Result<Hello, _> =
            postern_attr::read(&mut output, Encoding::Null, Extra::Refuse);
        match hello {
            Ok(hello) if hello.protocol == PROTOCOL => {}
            _ => {
                // It has said why on our stderr.
                drop((input, output));
                Self::die(&path, child.wait().ok())
            }
        }
        Self {
            child,
            input: BufWriter::with_capacity(64 * 1024, input),
            output,
        }
    }

    /// Ends the program because postdrop(1) does not do its duty.
    fn die(path: &Path, ended: Option<ExitStatus>) -> ! {
        let command = format!("{} -r", path.display());
        match ended.map(|ended| (ended.code(), ended.signal())) {
            // The reference tells signals in the same words.
            Some((Some(number), _) | (None, Some(number))) if number != 0 => {
                log::warn!("command \"{command}\" exited with status {number}");
            }
            _ => {}
        }
        let (uid, _, login) = caller();
        fatal(format_args!(
            "{login}({uid}): unable to execute {command}: Application error"
        ))
    }

    /// Ends without a message.
    fn cancel(self) {
        let Self {
            mut child, input, ..
        } = self;
        // Dropping the writer unflushed is the point: postdrop sees the end of input before the end record.
        let (input, _) = input.into_parts();
        drop(input);
        let _ = child.wait();
    }

    /// Ends the message and returns the verdict.
    fn finish(self, complete: bool) -> Reply {
        let Self {
            mut child,
            input,
            mut output,
        } = self;
        if complete {
            drop(input);
        } else {
            let (input, _) = input.into_parts();
            drop(input);
        }
        let reply = postern_attr::read(&mut output, Encoding::Null, Extra::Refuse);
        let ended = child.wait();
        match (reply, ended) {
            (Ok(reply), _) => reply,
            (Err(_), Ok(_) | Err(_)) => Reply {
                status: status::WRITE,
                reason: BString::default(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_name_is_the_first_field_with_the_login_name_filled_in() {
        assert_eq!(full_name("Alice Test,,,".into(), "alice"), "Alice Test");
        assert_eq!(full_name("& Smith".into(), "bob"), "Bob Smith");
    }

    #[test]
    fn operand_without_address_is_the_empty_recipient() {
        for (text, want) in [
            ("", &[""][..]),
            ("<>", &[""]),
            ("\"\"", &[""]),
            ("(c)", &[""]),
            ("a@x, b@x", &["a@x", "b@x"]),
        ] {
            assert_eq!(operand_recipients(text.into()), want, "{text:?}");
        }
    }

    #[test]
    fn mailbox_separators_are_told_from_headers() {
        for (line, want) in [
            ("From a", true),
            (">From a", true),
            (">>From a", true),
            ("From: a", false),
            ("from a", false),
            ("From\ta", false),
            (" From a", false),
            ("", false),
        ] {
            assert_eq!(is_mailbox_separator(line.as_bytes()), want, "{line:?}");
        }
    }

    #[test]
    fn null_sender_has_several_spellings() {
        for (text, want) in [
            ("", ""),
            ("<>", ""),
            ("<dave@x.example>", "dave@x.example"),
            ("carol@x.example", "carol@x.example"),
        ] {
            assert_eq!(sender_address(text.into()), want, "{text:?}");
        }
    }
}
