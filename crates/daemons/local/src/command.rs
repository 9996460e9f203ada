//! `|command` members and mailbox_command (delivery.md §3.6).

use std::path::PathBuf;

use bstr::{BString, ByteSlice};
use postern_delivery::Outcome;
use postern_delivery::command::{Job as Command, Verdict, run, shell_argv};
use postern_delivery::copy::CopyOptions;
use postern_ipc::deliver::Request;

use crate::expand::{path_bytes, path_of};
use crate::job::{Failure, Job, configuration_error, dsn};
use crate::macros::{Macros, mask};
use crate::mail::Mail;
use crate::rights::Rights;

/// Delivers to a command, if commands may be named where this one is.
pub(crate) fn deliver_member(job: &mut Job<'_>, mail: &Mail, rights: &Rights, command: &BString) -> Outcome {
    if !job.is_first("command", [format!("{} {} ", mail.parts.user, rights.uid).as_bytes(), command].concat()) {
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
pub(crate) fn deliver_mailbox(job: &mut Job<'_>, mail: &Mail, rights: &Rights, command: &BString) -> Outcome {
    match deliver(job, mail, rights, command) {
        Ok(outcome) => outcome,
        Err(failure) => job.fail(mail, &failure),
    }
}

fn deliver(job: &mut Job<'_>, mail: &Mail, rights: &Rights, command: &BString) -> Result<Outcome, Failure> {
    if job.is_trace_only() {
        let reason = [b"delivers to command: ".as_slice(), command].concat();
        return Ok(job.sent(mail, &dsn("2.0.0", reason)));
    }
    let acting = job.acting_rights(rights);
    job.check_rights(&acting)?;
    let settings = &job.local.settings;
    let task = Command {
        argv: shell_argv(command, &settings.command_shell),
        shown: command.clone(),
        uid: acting.uid,
        gid: acting.gid,
        directory: directory(job, mail, rights)?,
        environment: environment(&settings.command_filter, &job.delivery.request, mail, rights),
        export: settings.export.clone(),
        time_limit: settings.command_time,
        file_size_limit: settings.size_limit,
        agent: ("local", if settings.command_shell.is_empty() { "" } else { "pipe_command: " }),
    };
    let delivered_to = settings.delivered_to.command.then(|| mail.delivered_to.clone());
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
            log::warn!("bad parameter value syntax for command_execution_directory: {}", settings.command_directory);
            Err(configuration_error("4.3.5"))
        }
    }
}

/// What the command learns about the message, with `_` for characters that a shell could misread.
fn environment(filter: &str, request: &Request, mail: &Mail, rights: &Rights) -> Vec<(String, BString)> {
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
    let mut environment: Vec<_> = always.iter().map(|(name, value)| entry(name, value)).collect();
    environment.extend(known.iter().filter_map(|(name, value)| value.as_ref().map(|value| entry(name, value))));
    environment.extend(not_empty.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| entry(name, value)));
    environment
}
