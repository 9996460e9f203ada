//! `|command` members and mailbox_command (delivery.md §3.6).

use std::path::PathBuf;

use bstr::{BString, ByteSlice};
use postern_delivery::Outcome;
use postern_delivery::command::{Job as Command, Verdict, run, shell_argv};
use postern_delivery::copy::CopyOptions;
use postern_ipc::deliver::Request;
use postern_program::Program;

use crate::expand::{path_bytes, path_of};
use crate::job::{Failure, Job, configuration_error, dsn};
use crate::macros::{Macros, mask};
use crate::mail::Mail;
use crate::rights::Rights;

/// Delivers to a command, if commands may be named where this one is.
pub(crate) fn deliver_member(
    job: &mut Job<'_>,
    mail: &Mail,
    rights: &Rights,
    command: &BString,
) -> Outcome {
    if !job.is_first(
        "command",
        [
            format!("{} {} ", mail.parts.user, rights.uid).as_bytes(),
            command,
        ]
        .concat(),
    ) {
        return Outcome::Done;
    }
    if !job.local.settings.commands.allows(mail.source) {
        return job.fail(mail, &dsn("5.7.1", "mail to command is restricted"));
    }
    match deliver(job, mail, rights, command) {
        Ok(outcome) => outcome,
        Err(failure) => job.fail_to_owner(mail, &failure),
    }
}

/// Delivers to the command that stands for the user's mailbox.
pub(crate) fn deliver_mailbox(
    job: &mut Job<'_>,
    mail: &Mail,
    rights: &Rights,
    command: &BString,
) -> Outcome {
    match deliver(job, mail, rights, command) {
        Ok(outcome) => outcome,
        Err(failure) => job.fail(mail, &failure),
    }
}

fn deliver(
    job: &mut Job<'_>,
    mail: &Mail,
    rights: &Rights,
    command: &BString,
) -> Result<Outcome, Failure> {
    if job.is_trace_only() {
        let reason = [b"delivers to command: ".as_slice(), command].concat();
        return Ok(job.sent(mail, &dsn("2.0.0", reason)));
    }
    let acting = job.acting_rights(rights);
    job.check_rights(&acting)?;
    let settings = &job.local.settings;
    let task = Command {
        program: Program {
            argv: shell_argv(command, &settings.command_shell),
            rights: (acting.uid, acting.gid),
            root: None,
            directory: directory(job, mail, rights)?,
            export: settings.export.clone(),
            environment: environment(
                &settings.command_filter,
                &job.delivery.request,
                mail,
                rights,
            ),
            file_size_limit: settings.size_limit,
        },
        shown: command.clone(),
        time_limit: settings.command_time,
        charset: settings.charset,
        agent: (
            "local",
            if settings.command_shell.is_empty() {
                ""
            } else {
                "pipe_command: "
            },
        ),
    };
    let delivered_to = settings
        .delivered_to
        .command
        .then(|| mail.delivered_to.clone());
    let options = CopyOptions {
        sender: Some(mail.sender.clone()),
        ..CopyOptions::command(delivered_to, settings.original_to)
    };
    match run(&task, job.delivery, &mail.recipient, &options) {
        Verdict::Delivered(_) => {
            let reason = [b"delivered to command: ".as_slice(), command].concat();
            Ok(job.sent(mail, &dsn("2.0.0", reason)))
        }
        Verdict::Failed(failure) => Err(Box::new(failure)),
    }
}

/// `command_execution_directory`.
fn directory(job: &Job<'_>, mail: &Mail, rights: &Rights) -> Result<Option<PathBuf>, Failure> {
    let settings = &job.local.settings;
    if settings.command_directory.is_empty() {
        return Ok(None);
    }
    let macros = Macros {
        mail,
        rights: Some(rights),
        delimiters: &settings.extensions.delimiters,
        filter: Some(&settings.directory_filter),
    };
    match macros.expand(&settings.command_directory) {
        Some(expanded) => Ok((!expanded.text.is_empty()).then(|| path_of(&expanded.text))),
        None => {
            log::warn!(
                "bad parameter value syntax for command_execution_directory: {}",
                settings.command_directory
            );
            Err(configuration_error("4.3.5"))
        }
    }
}

/// What the command learns about the message, with `_` for characters that a shell could misread.
fn environment(
    filter: &str,
    request: &Request,
    mail: &Mail,
    rights: &Rights,
) -> Vec<(String, BString)> {
    let parts = &mail.parts;
    let always: [(&str, &BString); 5] = [
        ("LOGNAME", &parts.user),
        ("USER", &parts.user),
        ("SENDER", &mail.sender),
        ("RECIPIENT", &mail.recipient.recipient),
        ("LOCAL", &parts.local),
    ];
    let known: [(&str, Option<BString>); 4] = [
        ("HOME", rights.home.as_deref().map(path_bytes)),
        ("SHELL", rights.shell.as_deref().map(path_bytes)),
        ("DOMAIN", parts.domain.clone()),
        ("EXTENSION", parts.extension.clone()),
    ];
    let not_empty: [(&str, &BString); 8] = [
        ("ORIGINAL_RECIPIENT", &mail.recipient.original_recipient),
        ("CLIENT_HOSTNAME", &request.log_client_name),
        ("CLIENT_ADDRESS", &request.log_client_address),
        ("CLIENT_HELO", &request.log_helo_name),
        ("CLIENT_PROTOCOL", &request.log_protocol_name),
        ("SASL_METHOD", &request.sasl_method),
        ("SASL_SENDER", &request.sasl_sender),
        ("SASL_USERNAME", &request.sasl_username),
    ];
    let entry = |name: &str, value: &BString| (name.to_owned(), mask(value.as_bstr(), filter));
    let mut environment: Vec<_> = always
        .iter()
        .map(|(name, value)| entry(name, value))
        .collect();
    environment.extend(
        known
            .iter()
            .filter_map(|(name, value)| value.as_ref().map(|value| entry(name, value))),
    );
    environment.extend(
        not_empty
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| entry(name, value)),
    );
    environment
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Parts, Source};
    use postern_attr::Data;
    use postern_dict::search::Extensions;
    use postern_ipc::deliver::Recipient;

    fn request() -> Request {
        Request {
            flags: 3,
            queue_name: "active".into(),
            queue_id: "A1".into(),
            offset: 0,
            size: 0,
            nexthop: "x".into(),
            encoding: "".into(),
            smtputf8: 0,
            sender: "".into(),
            envelope_id: "".into(),
            ret_flags: 0,
            time: Data(Vec::new()),
            log_client_name: "client;x".into(),
            log_client_address: "".into(),
            log_client_port: "25".into(),
            log_protocol_name: "".into(),
            log_helo_name: "".into(),
            sasl_method: "".into(),
            sasl_username: "".into(),
            sasl_sender: "".into(),
            log_ident: "".into(),
            rewrite_context: "local".into(),
            recipient_count: 1,
        }
    }

    #[test]
    fn command_learns_about_the_message_without_shell_characters() {
        let extensions = Extensions {
            delimiters: "+".into(),
            owner_request_special: true,
        };
        let recipient = Recipient {
            recipient: "Bob+`x`@h.example".into(),
            ..Recipient::default()
        };
        let mail = Mail {
            parts: Parts::of(recipient.recipient.as_bstr(), &extensions),
            recipient,
            sender: "".into(),
            envelope_id: "".into(),
            ret_flags: 0,
            delivered_to: "".into(),
            owner: None,
            expanded_from: None,
            source: Source::Alias,
            level: 0,
            unmatched: None,
        };
        let filter = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ@.+/";
        let found = environment(filter, &request(), &mail, &Rights::system());
        let text = |(name, value): &(String, BString)| format!("{name}={value}");
        let found: Vec<String> = found.iter().map(text).collect();
        let want = [
            "LOGNAME=bob",
            "USER=bob",
            "SENDER=",
            "RECIPIENT=Bob+_x_@h.example",
            "LOCAL=bob+_x_",
            "DOMAIN=h.example",
            "EXTENSION=_x_",
            "CLIENT_HOSTNAME=client_x",
        ];
        assert_eq!(found, want);
    }
}
