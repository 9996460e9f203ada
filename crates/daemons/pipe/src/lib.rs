//! Delivers mail to commands that master.cf names, one command per request. Manual page: pipe(8);
//! delivery.md §5 of our specification. Knows no addresses but those of the request, and no shell.
#![forbid(unsafe_code)]

mod arguments;
mod attributes;

use std::process::ExitCode;
use std::time::Duration;

use bstr::{BString, ByteSlice};
use postern_config::words::environment;
use postern_config::{Config, params};
use postern_delivery::command::{Job, Verdict, run};
use postern_delivery::copy::CopyOptions;
use postern_delivery::{Agent, DeliveredTo, Delivery};
use postern_dict::search::Extensions;
use postern_ipc::deliver::Dsn;
use postern_mail::printable::Charset;
use postern_maillog::fatal;
use postern_program::Program;
use postern_queue_file::Hashing;
use postern_server::{Client, Context, Needs, SingleServer, StartError, single_server};
use postern_sys::user;

use crate::arguments::{BadArgument, expand, shown_sender};
use crate::attributes::{Attributes, Protected};

/// Most bytes of a command's comment on a delivery.
const COMMENT_LIMIT: usize = 100;

/// Runs the program.
pub fn main() -> ExitCode {
    single_server::main::<Pipe>()
}

/// Why the recipients have no mail: class 4 for now, class 5 for ever.
type Failure = Box<Dsn>;

/// The agent.
struct Pipe {
    agent: Agent,
    hashing: Hashing,
    settings: Settings,
    /// Read with the first request, as the reference does: with bad ones the queue manager sees an agent
    /// that dies over a message, and tries again later without a word about its recipients.
    attributes: Option<Attributes>,
}

/// What main.cf says.
struct Settings {
    extensions: Extensions,
    export: Vec<String>,
    time_limit: Duration,
    original_to: bool,
    header_limit: usize,
    charset: Charset,
    /// master.cf, for messages.
    master_cf: String,
}

impl SingleServer for Pipe {
    const NAME: &'static str = "pipe";
    const NEEDS: Needs = Needs {
        privileged: true,
        ..Needs::NONE
    };

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        let config = &context.config;
        Ok(Self {
            agent: Agent::new(config, Some(params::PIPE_DELIVERY_STATUS_FILTER)),
            hashing: postern_delivery::hashing(config),
            settings: Settings::new(config, &context.service_name)?,
            attributes: None,
        })
    }

    fn after_jail(&mut self, _context: &Context) -> Result<(), StartError> {
        postern_sys::signal::ignore_write_signals();
        Ok(())
    }

    fn before_accept(&mut self, _context: &Context) -> Option<String> {
        postern_dict::changed_table()
    }

    fn serve(&mut self, context: &Context, client: Client) {
        let mut channel = client.channel;
        let hashing = self.hashing.clone();
        postern_delivery::serve(&mut channel, &hashing, |delivery| {
            let attributes = match self.attributes.take() {
                Some(attributes) => attributes,
                None => read_attributes(context).unwrap_or_else(|text| fatal!("{text}")),
            };
            let deferred = self.deliver(&attributes, delivery, &context.service_name);
            self.attributes = Some(attributes);
            deferred
        });
    }
}

impl Settings {
    fn new(config: &Config, service: &str) -> Result<Self, StartError> {
        let export = environment(
            params::EXPORT_ENVIRONMENT.info.name,
            "clean_env",
            &config.get(params::EXPORT_ENVIRONMENT),
        )
        .map_err(StartError::new)?;
        Ok(Self {
            extensions: Extensions::from_config(config),
            export,
            time_limit: config.service_time(service, "time_limit", params::COMMAND_TIME_LIMIT),
            original_to: config.get(params::ENABLE_ORIGINAL_RECIPIENT),
            header_limit: usize::try_from(config.get(params::HEADER_SIZE_LIMIT)).unwrap_or(0),
            charset: if config.get(params::SMTPUTF8_ENABLE) {
                Charset::Utf8
            } else {
                Charset::Ascii
            },
            master_cf: config.directory().join("master.cf").display().to_string(),
        })
    }
}

/// Reads and checks the attributes. The error is the text after `fatal: `.
fn read_attributes(context: &Context) -> Result<Attributes, String> {
    let attributes = Attributes::parse(&context.options.arguments)?;
    // A process that is not root runs commands as itself, and has nothing to protect from that.
    if user::uid() == 0 {
        let group = context.config.get(params::SETGID_GROUP);
        let found = user::group_by_name(&group).map_err(|error| postern_sys::error_text(&error))?;
        attributes.check(&Protected {
            owner: context.owner.name.clone(),
            owner_uid: context.owner.uid,
            owner_gid: context.owner.gid,
            setgid: found.map(|found| (group, found.gid)),
        })?;
    }
    Ok(attributes)
}

impl Pipe {
    /// Runs the command for all recipients, who share the outcome; returns whether they are deferred.
    fn deliver(&mut self, attributes: &Attributes, delivery: &Delivery, service: &str) -> bool {
        let misused = needs_one_recipient(attributes).filter(|_| delivery.recipients.len() > 1);
        let result = match misused {
            Some(_) => Err(configuration_error()),
            None => self.attempt(attributes, delivery, service),
        };
        let mut deferred = false;
        for recipient in &delivery.recipients {
            let report = delivery.report(recipient, service.into());
            let outcome = match &result {
                Ok(dsn) => self.agent.sent(&report, dsn),
                Err(dsn) if dsn.status.first() == Some(&b'4') => self.agent.defer(&report, dsn),
                Err(dsn) => self.agent.bounce(&report, dsn),
            };
            deferred |= delivery.settle(recipient, outcome);
        }
        if let Some(flag) = misused {
            log::warn!("pipe flag `{flag}' requires {service}_destination_recipient_limit = 1");
        }
        deferred
    }

    /// What all recipients are told.
    fn attempt(
        &self,
        attributes: &Attributes,
        delivery: &Delivery,
        service: &str,
    ) -> Result<Dsn, Failure> {
        self.check(attributes, delivery)?;
        if delivery.is_trace_only() {
            let name = attributes.argv.first().map(|name| name.as_bstr());
            let reason = format!("delivers to command: {}", name.unwrap_or_default());
            return Ok(dsn("2.0.0", reason));
        }
        let request = &delivery.request;
        let extensions = &self.settings.extensions;
        let argv =
            expand(attributes, request, &delivery.recipients, extensions).map_err(|bad| {
                self.warn(service, &bad);
                configuration_error()
            })?;
        let Some(recipient) = delivery.recipients.first() else {
            return Err(configuration_error());
        };
        let job = self.job(attributes, argv)?;
        let options = self.copy_options(attributes, delivery);
        match run(&job, delivery, recipient, &options) {
            Verdict::Delivered(output) => Ok(delivered(attributes, service, &output)),
            Verdict::Failed(dsn) => Err(Box::new(dsn)),
        }
    }

    /// What forbids a delivery before a command is run.
    fn check(&self, attributes: &Attributes, delivery: &Delivery) -> Result<(), Failure> {
        let flags = attributes.flags;
        let limit = i64::try_from(attributes.size_limit).unwrap_or(i64::MAX);
        if limit > 0 && delivery.request.size > limit {
            return Err(Box::new(dsn("5.2.3", "message too large")));
        }
        if flags.delivered_to
            && let Some(recipient) = delivery.recipients.first()
            && DeliveredTo::of(delivery, self.settings.header_limit)
                .contains(recipient.recipient.as_bstr())
        {
            let reason = format!("mail forwarding loop for {}", recipient.recipient);
            return Err(Box::new(dsn("5.4.6", reason)));
        }
        Ok(())
    }

    fn warn(&self, service: &str, bad: &[BadArgument]) {
        let master_cf = &self.settings.master_cf;
        for mistake in bad {
            match mistake {
                BadArgument::UnknownMacro(name) => {
                    log::warn!(
                        "file {master_cf}: service {service}: unknown macro name: \"{name}\""
                    );
                }
                BadArgument::Syntax(text) => log::warn!("{text}"),
            }
        }
    }

    fn job(&self, attributes: &Attributes, argv: Vec<BString>) -> Result<Job, Failure> {
        let (uid, gid) = attributes.rights;
        if user::uid() != 0 && uid != user::euid() {
            let reason = format!(
                "pipe delivery runs without root privileges and cannot act for user ID {uid}"
            );
            return Err(Box::new(dsn("4.3.5", reason)));
        }
        Ok(Job {
            shown: attributes.argv.first().cloned().unwrap_or_default(),
            program: Program {
                argv: vec![argv],
                rights: (uid, gid),
                root: attributes.root.clone(),
                directory: attributes.directory.clone(),
                export: self.settings.export.clone(),
                ..Program::default()
            },
            time_limit: self.settings.time_limit,
            charset: self.settings.charset,
            agent: ("pipe", "pipe_command: "),
        })
    }

    fn copy_options(&self, attributes: &Attributes, delivery: &Delivery) -> CopyOptions {
        let flags = attributes.flags;
        let recipient = delivery.recipients.first().filter(|_| flags.delivered_to);
        CopyOptions {
            sender: Some(shown_sender(attributes, &delivery.request).to_owned()),
            from_line: flags.from_line,
            return_path: flags.return_path,
            original_to: flags.original_to && self.settings.original_to,
            delivered_to: recipient.map(|recipient| recipient.recipient.clone()),
            quote_from: flags.quote_from,
            stuff_dots: flags.stuff_dots,
            blank_line: flags.blank_line,
            line_end: attributes.line_end.clone(),
        }
    }
}

/// The flag, if any, whose header can name one recipient only.
fn needs_one_recipient(attributes: &Attributes) -> Option<char> {
    let flags = attributes.flags;
    let wanted = [(flags.delivered_to, 'D'), (flags.original_to, 'O')];
    wanted
        .into_iter()
        .find_map(|(is_set, flag)| is_set.then_some(flag))
}

/// The status of a delivery, with what the command said.
fn delivered(attributes: &Attributes, service: &str, output: &BString) -> Dsn {
    let comment = output.trim_ascii_end();
    let comment = comment.get(..COMMENT_LIMIT).unwrap_or(comment);
    let mut reason = format!("delivered via {service} service").into_bytes();
    if !comment.is_empty() {
        reason.extend_from_slice(&[b" (", comment, b")"].concat());
    }
    let action = if attributes.flags.final_delivery {
        "delivered"
    } else {
        "relayed"
    };
    Dsn {
        action: action.into(),
        ..dsn("2.0.0", reason)
    }
}

fn dsn(status: &str, reason: impl Into<Vec<u8>>) -> Dsn {
    let reason: Vec<u8> = reason.into();
    Dsn {
        status: status.into(),
        reason: reason.into(),
        ..Dsn::default()
    }
}

/// Only the operator can mend this; the mail waits.
fn configuration_error() -> Failure {
    Box::new(dsn("4.3.5", "mail system configuration error"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comment_of_a_command_is_cut_after_its_end_was_trimmed() {
        let attributes = Attributes::default();
        let text = |output: String| {
            delivered(&attributes, "x", &output.into())
                .reason
                .to_string()
        };
        for (output, want) in [
            (String::new(), String::new()),
            ("  ".to_owned(), String::new()),
            (" a b  ".to_owned(), " ( a b)".to_owned()),
            ("x".repeat(101), format!(" ({})", "x".repeat(100))),
            (
                format!("{}  y", "x".repeat(98)),
                format!(" ({}  )", "x".repeat(98)),
            ),
        ] {
            assert_eq!(text(output), format!("delivered via x service{want}"));
        }
    }

    #[test]
    fn delivery_is_final_only_when_a_flag_says_so() {
        let mut attributes = Attributes::default();
        assert_eq!(delivered(&attributes, "x", &"".into()).action, "relayed");
        attributes.flags.final_delivery = true;
        assert_eq!(delivered(&attributes, "x", &"".into()).action, "delivered");
    }
}
