//! What the end of a command and its output mean.

use std::io;

use bstr::{BStr, BString, ByteSlice};
use postern_ipc::deliver::Dsn;
use postern_mail::printable::{Charset, mask_in_place};
use postern_sys::error_text;
use postern_sys::process::ChildEvent;

use super::Verdict;
use crate::copy::CopyError;

/// The exit status of a child that could not become the command.
pub(super) const TEMPORARY_FAILURE: i32 = 75;
/// The exit status that stands for a command without one: it was killed.
const SOFTWARE: i32 = 70;

/// How the command ended.
#[derive(Debug)]
pub(super) enum End {
    Event(ChildEvent),
    TimedOut,
    Unknown(io::Error),
}

/// The command's output as text of one line, up to the first NUL.
#[derive(Debug)]
pub(super) struct Said(BString);

impl Said {
    pub(super) fn new(output: &[u8], charset: Charset) -> Self {
        let end = output.find_byte(0).unwrap_or(output.len());
        let mut text: BString = output[..end].into();
        for byte in text
            .iter_mut()
            .filter(|byte| matches!(**byte, b'\t' | b'\n'))
        {
            *byte = b' ';
        }
        mask_in_place(&mut text, charset, b'_');
        Self(text)
    }

    /// `reason`, and what was said.
    fn after(&self, reason: &BStr) -> BString {
        let mut text = reason.to_owned();
        if !self.0.is_empty() {
            text.extend_from_slice(b". Command output: ");
            text.extend_from_slice(&self.0);
        }
        text
    }

    /// A failure with `Diagnostic-Code: x-unix` in notices: what was said, or what the exit status means.
    fn failure(&self, status: &str, reason: &BStr, meaning: &str) -> Verdict {
        Verdict::Failed(Dsn {
            diag_type: "x-unix".into(),
            diag_text: if self.0.is_empty() {
                meaning.into()
            } else {
                self.0.clone()
            },
            ..dsn(status, self.after(reason))
        })
    }
}

/// A status with its text.
pub(super) fn dsn(status: &str, reason: impl AsRef<[u8]>) -> Dsn {
    Dsn {
        status: status.into(),
        reason: reason.as_ref().into(),
        ..Dsn::default()
    }
}

/// No process could be made, or it got lost.
pub(super) fn not_run(error: &io::Error) -> Dsn {
    dsn("4.3.0", format!("Delivery failed: {}", error_text(error)))
}

/// Decides. `unsent` tells why the command did not get the whole message.
pub(super) fn judge(shown: &BStr, end: &End, said: &Said, unsent: Option<&CopyError>) -> Verdict {
    let about = |what: &str| BString::from(format!("{what}: \"{shown}\""));
    let killed = sysexit(SOFTWARE).map_or("", |(_, meaning)| meaning);
    let code = match end {
        End::Event(ChildEvent::Exited(code)) => *code,
        End::Event(ChildEvent::Killed(signal) | ChildEvent::Stopped(signal)) => {
            let reason = about(&format!("Command died with signal {signal}"));
            return said.failure("4.3.0", reason.as_bstr(), killed);
        }
        End::TimedOut => {
            let reason = about("Command time limit exceeded");
            return said.failure("5.3.0", reason.as_bstr(), killed);
        }
        End::Unknown(error) => return Verdict::Failed(not_run(error)),
    };
    if code == 0 {
        return match unsent {
            Some(error) => Verdict::Failed(dsn(
                error.status(),
                about(&format!("Command failed: {error}")),
            )),
            None => Verdict::Delivered(said.0.clone()),
        };
    }
    // A status code in the output says more than the exit status.
    if let Some(length) = postern_mail::dsn::status_length(&said.0) {
        let reason = said.0[length..].trim_ascii_start();
        return Verdict::Failed(Dsn {
            diag_type: "x-unix".into(),
            diag_text: reason.into(),
            ..dsn(&said.0[..length].to_str_lossy(), reason)
        });
    }
    match sysexit(code) {
        Some((status, meaning)) => said.failure(status, meaning.into(), meaning),
        None => said.failure(
            "5.3.0",
            about(&format!("Command died with status {code}")).as_bstr(),
            &format!("unknown mail system error {code}"),
        ),
    }
}

/// Status and meaning of the exit codes of sysexits(3).
fn sysexit(code: i32) -> Option<(&'static str, &'static str)> {
    Some(match code {
        64 => ("5.3.0", "command line usage error"),
        65 => ("5.6.0", "data format error"),
        66 => ("5.3.0", "cannot open input"),
        67 => ("5.1.1", "user unknown"),
        68 => ("5.1.2", "host name unknown"),
        69 => ("5.3.0", "service unavailable"),
        70 => ("5.3.0", "internal software error"),
        71 => ("4.3.0", "system resource problem"),
        72 => ("5.3.0", "critical OS file missing"),
        73 => ("5.2.0", "can't create user output file"),
        74 => ("5.3.0", "input/output error"),
        75 => ("4.3.0", "temporary failure"),
        76 => ("5.5.0", "remote error in protocol"),
        77 => ("5.7.0", "permission denied"),
        78 => ("5.3.5", "local configuration error"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    fn exit(code: i32) -> End {
        End::Event(ChildEvent::Exited(code))
    }

    #[test]
    fn end_of_a_command_decides_status_text_and_diagnostic() {
        let died = |what: &str| format!("Command died with {what}: \"/bin/x\"");
        let late = "Command time limit exceeded: \"/bin/x\"";
        for (end, output, status, reason, diagnostic) in [
            (
                exit(1),
                "",
                "5.3.0",
                died("status 1"),
                "unknown mail system error 1",
            ),
            (
                exit(1),
                "hi\n",
                "5.3.0",
                died("status 1") + ". Command output: hi ",
                "hi ",
            ),
            (
                exit(75),
                "busy\n",
                "4.3.0",
                "temporary failure. Command output: busy ".into(),
                "busy ",
            ),
            (
                exit(75),
                "4.2",
                "4.3.0",
                "temporary failure. Command output: 4.2".into(),
                "4.2",
            ),
            (
                exit(1),
                "4.2.2 mailbox full",
                "4.2.2",
                "mailbox full".into(),
                "mailbox full",
            ),
            (exit(1), "2.1.1\n\nfine\n", "2.1.1", "fine ".into(), "fine "),
            (exit(1), "4.5.6", "4.5.6", String::new(), ""),
            (exit(67), "", "5.1.1", "user unknown".into(), "user unknown"),
            (
                End::Event(ChildEvent::Killed(9)),
                "",
                "4.3.0",
                died("signal 9"),
                "internal software error",
            ),
            (
                End::TimedOut,
                "",
                "5.3.0",
                late.into(),
                "internal software error",
            ),
            (
                End::TimedOut,
                "4.1.1 x",
                "5.3.0",
                format!("{late}. Command output: 4.1.1 x"),
                "4.1.1 x",
            ),
        ] {
            let said = Said::new(output.as_bytes(), Charset::Ascii);
            match judge("/bin/x".into(), &end, &said, None) {
                Verdict::Failed(dsn) => assert_eq!(
                    (dsn.status, dsn.reason, dsn.diag_type, dsn.diag_text),
                    (
                        status.into(),
                        reason.into(),
                        "x-unix".into(),
                        diagnostic.into()
                    )
                ),
                delivered @ Verdict::Delivered(_) => panic!("{delivered:?}"),
            }
        }
        let said = Said::new(b"ok\n", Charset::Ascii);
        assert_eq!(
            judge("x".into(), &exit(0), &said, None),
            Verdict::Delivered("ok ".into())
        );
    }

    #[test]
    fn message_that_did_not_arrive_is_not_delivered() {
        let unsent = CopyError::Write(Errno::ENOSPC.into());
        let said = Said::new(b"", Charset::Ascii);
        match judge("/bin/x".into(), &exit(0), &said, Some(&unsent)) {
            Verdict::Failed(dsn) => assert_eq!(dsn.status, "4.3.0"),
            delivered @ Verdict::Delivered(_) => panic!("{delivered:?}"),
        }
    }

    #[test]
    fn output_is_one_line_of_printable_text_up_to_the_first_nul() {
        for (output, charset, want) in [
            (&b"a\tb\nc\r\x01\x7f"[..], Charset::Ascii, "a b c___"),
            (b"\xc3\xbc\xff", Charset::Utf8, "\u{fc}_"),
            (b"\xc3\xbc", Charset::Ascii, "__"),
            (b"a\0b", Charset::Utf8, "a"),
        ] {
            assert_eq!(Said::new(output, charset).0, want);
        }
    }
}
