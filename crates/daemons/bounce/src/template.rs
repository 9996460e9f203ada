//! The texts of notices: built in, or from `bounce_template_file` (dsn.md §5).

use std::cell::{OnceCell, RefCell};
use std::fs;
use std::io::{self, Write};
use std::time::Duration;

use postern_config::{Config, params};

/// Which notice a template is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Mail that will never be delivered.
    Failure,
    /// Mail that is late.
    Delay,
    /// Mail that was delivered, when the sender asked to know.
    Success,
    /// The report of `sendmail -bv` and `sendmail -v`.
    Verify,
}

impl Class {
    const ALL: [Self; 4] = [Self::Failure, Self::Delay, Self::Success, Self::Verify];

    fn name(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Delay => "delay",
            Self::Success => "success",
            Self::Verify => "verify",
        }
    }
}

/// One notice's headers and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    /// File name, or `[built-in]`.
    origin: String,
    class: Class,
    /// Character set of the text.
    pub(crate) charset: String,
    /// `From:` value; `None` is the built-in one, whose form follows header_from_format.
    from: Option<String>,
    /// `Subject:` value.
    pub(crate) subject: String,
    /// `Subject:` of the postmaster's copy, where there is one.
    pub(crate) postmaster_subject: Option<String>,
    body: String,
}

const FAILURE: &str = "\
This is the mail system at host $myhostname.

We are sorry: your message could not be delivered to one or more
recipients. The message is attached below.

For help, please write to postmaster and include this report. You
may leave out your own text from the attached message.

                   The mail system
";

const DELAY: &str = "\
This is the mail system at host $myhostname.

####################################################################
# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #
####################################################################

Your message is still waiting after more than $delay_warning_time_hours hour(s).
It will be tried again until it is $maximal_queue_lifetime_days day(s) old.

For help, please write to postmaster and include this report. You
may leave out your own text from the attached message.

                   The mail system
";

const SUCCESS: &str = "\
This is the mail system at host $myhostname.

Your message has reached the destination(s) listed below. If it went
to a mailbox, this is the last report that you get. If it went on to
another system, that system may still report trouble.

                   The mail system
";

const VERIFY: &str = "\
This is the mail system at host $myhostname.

Here is the delivery report that you asked for.

                   The mail system
";

impl Template {
    fn built_in(class: Class) -> Self {
        let (subject, postmaster_subject, body) = match class {
            Class::Failure => (
                "Undelivered Mail Returned to Sender",
                Some("Postmaster Copy: Undelivered Mail"),
                FAILURE,
            ),
            Class::Delay => (
                "Delayed Mail (still being retried)",
                Some("Postmaster Warning: Delayed Mail"),
                DELAY,
            ),
            Class::Success => ("Successful Mail Delivery Report", None, SUCCESS),
            Class::Verify => ("Mail Delivery Status Report", None, VERIFY),
        };
        Self {
            origin: "[built-in]".to_owned(),
            class,
            charset: "us-ascii".to_owned(),
            from: None,
            subject: subject.to_owned(),
            postmaster_subject: postmaster_subject.map(str::to_owned),
            body: body.to_owned(),
        }
    }

    /// `From:` value of the notice.
    pub(crate) fn sender_header(&self, config: &Config) -> String {
        if let Some(from) = &self.from {
            return from.clone();
        }
        match config.get(params::HEADER_FROM_FORMAT).as_str() {
            "obsolete" => "MAILER-DAEMON (Mail Delivery System)".to_owned(),
            _ => "Mail Delivery System <MAILER-DAEMON>".to_owned(),
        }
    }

    /// The text with parameters and time units filled in.
    ///
    /// # Errors
    ///
    /// The text after `fatal: `.
    pub(crate) fn text(&self, config: &Config) -> Result<String, String> {
        let (origin, class) = (&self.origin, self.class.name());
        let mut text = String::new();
        for line in self.body.split_inclusive('\n') {
            let (line, end) = line.split_at(line.trim_end_matches('\n').len());
            let bad_unit = RefCell::new(None);
            let extra = |name: &str| match self.time_value(config, name) {
                Ok(value) => value,
                Err(error) => {
                    bad_unit.borrow_mut().get_or_insert(error);
                    Some(String::new())
                }
            };
            let expanded = config.expand_strictly(line, &extra);
            if let Some(error) = bad_unit.take() {
                return Err(error);
            }
            match expanded {
                Ok((expanded, false)) => {
                    text.push_str(&expanded);
                    text.push_str(end);
                }
                Ok((_, true)) => {
                    return Err(format!(
                        "{origin}: undefined $name in {class} template: {line}"
                    ));
                }
                Err(error) => {
                    for (_, warning) in error.preceding() {
                        log::warn!("{warning}");
                    }
                    return Err(format!(
                        "{origin}: bad $name syntax in {class} template: {line}"
                    ));
                }
            }
        }
        Ok(text)
    }

    /// `delay_warning_time_UNIT` and `maximal_queue_lifetime_UNIT`; `None` for other names.
    fn time_value(&self, config: &Config, name: &str) -> Result<Option<String>, String> {
        let times = [params::DELAY_WARNING_TIME, params::MAXIMAL_QUEUE_LIFETIME];
        let found = times.iter().find_map(|param| {
            let unit = name.strip_prefix(param.info.name)?.strip_prefix('_')?;
            Some((*param, unit))
        });
        let Some((param, unit)) = found else {
            return Ok(None);
        };
        let size = match unit {
            "seconds" => 1,
            "minutes" => 60,
            "hours" => 3600,
            "days" => 86_400,
            "weeks" => 604_800,
            _ => {
                return Err(format!(
                    "{}: unrecognized suffix \"{unit}\" in parameter \"{name}\"",
                    self.origin
                ));
            }
        };
        let time: Duration = config.get(param);
        let value = time.as_secs() / size;
        let (origin, class, parameter) = (&self.origin, self.class.name(), name);
        if value > 999 && size < 86_400 {
            log::warn!(
                "{origin}: excessive result \"{value}\" in {class} template conversion of parameter \"{parameter}\""
            );
            log::warn!(
                "please increase time unit \"{unit}\" of \"{parameter}\" in {class} template"
            );
            log::warn!("for instructions see the bounce(5) manual");
        } else if value == 0 && !time.is_zero() {
            log::warn!(
                "{origin}: zero result in {class} template conversion of parameter \"{parameter}\""
            );
            log::warn!("please reduce time unit \"{unit}\" of \"{parameter}\" in {class} template");
            log::warn!("for instructions see the bounce(5) manual");
        }
        Ok(Some(value.to_string()))
    }

    /// Parses the text of a template in `file`.
    fn parse(file: &str, class: Class, text: &str) -> Result<Self, String> {
        let ignoring = |what: String| {
            format!(
                "{file}: {what} in {} template -- ignoring this template",
                class.name()
            )
        };
        let mut template = Self {
            origin: file.to_owned(),
            ..Self::built_in(class)
        };
        let mut lines = text.lines();
        let mut rest = String::new();
        for line in lines.by_ref() {
            if line.trim().is_empty() {
                break;
            }
            let Some((label, value)) = line.split_once(':') else {
                rest.push_str(line);
                rest.push('\n');
                break;
            };
            let value = value.trim();
            if value.is_empty() {
                return Err(ignoring(format!("empty \"{label}\" header value")));
            }
            if !value.is_ascii() {
                return Err(ignoring(format!("non-ASCII \"{label}\" header value")));
            }
            match label.to_ascii_lowercase().as_str() {
                "charset" => template.charset = value.to_owned(),
                "from" => template.from = Some(value.to_owned()),
                "subject" => template.subject = value.to_owned(),
                "postmaster-subject" if template.postmaster_subject.is_some() => {
                    template.postmaster_subject = Some(value.to_owned());
                }
                "postmaster-subject" => {
                    return Err(ignoring(format!("inapplicable \"{label}\" header label")));
                }
                _ => return Err(ignoring(format!("unknown \"{label}\" header label"))),
            }
        }
        let mut blank = true;
        for line in lines {
            if blank && line.trim().is_empty() {
                continue;
            }
            blank = false;
            rest.push_str(line);
            rest.push('\n');
        }
        if rest.is_empty() {
            return Err(ignoring("missing message text".to_owned()));
        }
        if !rest.is_ascii() && template.charset.eq_ignore_ascii_case("us-ascii") {
            return Err(format!(
                "{file}: 8-bit message text in {} template\n\
                 please specify a charset value other than us-ascii\n\
                 -- ignoring this template for now",
                class.name()
            ));
        }
        template.body = rest;
        Ok(template)
    }
}

/// All four templates.
#[derive(Debug, Default)]
pub(crate) struct Templates([Slot; 4]);

/// A template, made when it is first used: faults of a template that no notice needs stay untold.
#[derive(Debug, Default)]
struct Slot {
    /// File name and text of the template that replaces the built-in one.
    source: Option<(String, String)>,
    template: OnceCell<Template>,
}

/// Why a template file cannot be used as a whole. `Display` is the text after `fatal: `.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadFile {
    /// It cannot be read.
    #[error("open {file}: {}", postern_sys::error_text(.error))]
    Open { file: String, error: io::Error },
    /// A line is no `name = value`.
    #[error("{file}, line {line}: missing '=' after attribute name: \"{text}\"")]
    NoName {
        file: String,
        line: usize,
        text: String,
    },
}

impl Templates {
    /// The built-in templates, replaced by those of `file` (empty: none).
    ///
    /// # Errors
    ///
    /// The templates in front of the fault are in use all the same: a notice is always possible.
    pub(crate) fn load(&mut self, file: &str) -> Result<(), BadFile> {
        if file.is_empty() {
            return Ok(());
        }
        let bytes = fs::read(file).map_err(|error| BadFile::Open {
            file: file.to_owned(),
            error,
        })?;
        self.read(file, &String::from_utf8_lossy(&bytes))
    }

    /// Every template as `bounce_template_file` would hold it.
    ///
    /// # Errors
    ///
    /// The text after `fatal: `.
    pub(crate) fn dump(&self, config: &Config, out: &mut dyn Write) -> io::Result<()> {
        for (number, class) in Class::ALL.into_iter().enumerate() {
            let template = self.of(class);
            let name = class.name();
            let blank = if number > 0 { "\n" } else { "" };
            writeln!(out, "{blank}{name}_template = <<EOF")?;
            writeln!(out, "Charset: {}", template.charset)?;
            writeln!(out, "From: {}", template.sender_header(config))?;
            writeln!(out, "Subject: {}", template.subject)?;
            if let Some(subject) = &template.postmaster_subject {
                writeln!(out, "Postmaster-Subject: {subject}")?;
            }
            writeln!(out, "\n{}EOF", template.body)?;
        }
        Ok(())
    }

    /// Every template's text with parameters filled in.
    pub(crate) fn expand(&self, config: &Config, out: &mut dyn Write) -> io::Result<()> {
        for (number, class) in Class::ALL.into_iter().enumerate() {
            let template = self.of(class);
            let name = class.name();
            let blank = if number > 0 { "\n" } else { "" };
            match template.text(config) {
                Ok(text) => write!(out, "{blank}expanded_{name}_text = <<EOF\n{text}EOF\n")?,
                Err(text) => postern_maillog::fatal!("{text}"),
            }
        }
        Ok(())
    }

    fn read(&mut self, file: &str, text: &str) -> Result<(), BadFile> {
        let mut lines = text.lines();
        // The number of a line that is told is the one after it, as in Postfix.
        let mut next = 1;
        while let Some(line) = lines.next() {
            next += 1;
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let Some((name, value)) = line
                .split_once('=')
                .map(|(name, value)| (name.trim(), value.trim()))
            else {
                return Err(BadFile::NoName {
                    file: file.to_owned(),
                    line: next,
                    text: trimmed.to_owned(),
                });
            };
            let mut body = value.to_owned();
            if let Some(mark) = value.strip_prefix("<<").map(str::trim) {
                let mut ended = false;
                body.clear();
                for line in lines.by_ref() {
                    next += 1;
                    if line == mark {
                        ended = true;
                        break;
                    }
                    body.push_str(line);
                    body.push('\n');
                }
                if !ended {
                    log::warn!("{file}, line {next}: missing \"{mark}\" end marker");
                }
            }
            let slot = Class::ALL
                .iter()
                .zip(&mut self.0)
                .find(|(class, _)| name.strip_suffix("_template") == Some(class.name()));
            match slot {
                Some((_, slot)) => slot.source = Some((file.to_owned(), body)),
                None => log::warn!(
                    "{file}, line {next}: unknown template name: {name} -- ignoring this template"
                ),
            }
        }
        Ok(())
    }

    /// The template of `class`.
    pub(crate) fn of(&self, class: Class) -> &Template {
        let [failure, delay, success, verify] = &self.0;
        let slot = match class {
            Class::Failure => failure,
            Class::Delay => delay,
            Class::Success => success,
            Class::Verify => verify,
        };
        slot.template.get_or_init(|| {
            let Some((file, text)) = &slot.source else {
                return Template::built_in(class);
            };
            Template::parse(file, class, text).unwrap_or_else(|text| {
                for line in text.lines() {
                    log::warn!("{line}");
                }
                Template::built_in(class)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_replaces_what_it_names_and_keeps_the_rest() {
        let mut templates = Templates::default();
        let text = "# comment\nfailure_template = <<EOF\nCharset: utf-8\nSubject: No\n\n\nSorry, $myhostname.\nEOF\nsuccess_template = <<EOF\nPostmaster-Subject: no\n\nx\nEOF\n";
        assert!(templates.read("bounce.cf", text).is_ok());
        let failure = templates.of(Class::Failure);
        assert_eq!(
            (
                failure.charset.as_str(),
                failure.subject.as_str(),
                failure.body.as_str()
            ),
            ("utf-8", "No", "Sorry, $myhostname.\n")
        );
        assert_eq!(
            templates.of(Class::Success),
            &Template::built_in(Class::Success)
        );
    }

    #[test]
    fn lines_without_a_name_end_the_file_and_keep_what_came_before() {
        let mut templates = Templates::default();
        let text = "# comment\nverify_template = <<EOF\nSubject: No\n\nx\nEOF\nnonsense\n";
        let error = templates.read("bounce.cf", text).unwrap_err();
        assert_eq!(
            error.to_string(),
            "bounce.cf, line 8: missing '=' after attribute name: \"nonsense\""
        );
        assert_eq!(templates.of(Class::Verify).subject, "No");
    }

    #[test]
    fn names_that_mean_nothing_are_told_with_their_line() {
        let config = Config::from_text("delay_warning_time = 2h\n").expect("a config");
        let text = |body: &str| {
            let text = format!("Subject: x\n\nfirst\n{body}\n");
            let template = Template::parse("f", Class::Delay, &text).expect("a template");
            template.text(&config)
        };
        let error = |text: &str| Err(format!("f: {text}"));
        assert_eq!(text("a ${nosuch?b}$$"), Ok("first\na $\n".to_owned()));
        assert_eq!(
            text("$delay_warning_time_hours h"),
            Ok("first\n2 h\n".to_owned())
        );
        assert_eq!(
            text("a $nosuch b"),
            error("undefined $name in delay template: a $nosuch b")
        );
        assert_eq!(
            text("a ${nosuch"),
            error("bad $name syntax in delay template: a ${nosuch")
        );
        assert_eq!(
            text("$delay_warning_time_months"),
            error("unrecognized suffix \"months\" in parameter \"delay_warning_time_months\"")
        );
    }

    #[test]
    fn faults_of_a_template_are_named() {
        for (text, want) in [
            (
                "Subject:\n\nx\n",
                "empty \"Subject\" header value in failure template -- ignoring this template",
            ),
            (
                "X-Odd: y\n\nx\n",
                "unknown \"X-Odd\" header label in failure template -- ignoring this template",
            ),
            (
                "Subject: y\n",
                "missing message text in failure template -- ignoring this template",
            ),
        ] {
            assert_eq!(
                Template::parse("f", Class::Failure, text),
                Err(format!("f: {want}")),
                "{text:?}"
            );
        }
    }
}
