//! What happens to headers and body lines on their way out: `smtp_header_checks` and its relatives,
//! generic maps, and the result of MIME conversion.

use bstr::{BStr, BString, ByteSlice};
use postern_dict::Maps;
use postern_mail::address_tree;
use postern_mail::header::{self, Addresses};
use postern_mail::mime::{Handler, LineEnd, MimeError, Part};

use crate::content::{Options, TextOut};
use crate::reply::printable;
use crate::session::excerpt;
use crate::settings::{Settings, Tables};

/// Tokens of a header that are parsed; the rest is left alone.
const TOKEN_LIMIT: usize = 10_240;

/// Why a message cannot be sent after all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterError {
    /// A table could not be read.
    Lookup,
    /// The structure is not acceptable.
    Mime(String),
}

/// The state of one message's filtering.
pub struct Filter<'a, 'b> {
    /// Where lines go.
    pub out: &'a mut TextOut<'b>,
    /// Tables.
    pub tables: &'a mut Tables,
    /// Parameters.
    pub settings: &'a Settings,
    /// Origin and limits.
    pub options: &'a Options,
    /// Queue ID.
    pub queue_id: &'a str,
    /// The first error; nothing is sent after it.
    pub error: Option<FilterError>,
}

/// What a check says about a line.
enum Verdict {
    Keep,
    Drop,
    Replace(BString),
    Prepend(BString),
}

impl Filter<'_, '_> {
    /// Whether lines would pass unchanged and unseen.
    pub fn is_idle(&self) -> bool {
        self.tables.header_checks.is_empty()
            && self.tables.mime_header_checks.is_empty()
            && self.tables.nested_header_checks.is_empty()
            && self.tables.body_checks.is_empty()
            && self.tables.generic.is_empty()
    }

    /// Looks a line up and logs what is found.
    fn check(&mut self, kind: Kind, text: &BStr) -> Verdict {
        let limit = self.settings.checks_log_limit;
        let maps = match kind {
            Kind::Header(Part::Primary) => &mut self.tables.header_checks,
            Kind::Header(Part::Mime) => &mut self.tables.mime_header_checks,
            Kind::Header(Part::Nested) => &mut self.tables.nested_header_checks,
            Kind::Body => &mut self.tables.body_checks,
        };
        if maps.is_empty() {
            return Verdict::Keep;
        }
        let action = match maps.find(text, false) {
            Ok(None) => return Verdict::Keep,
            Ok(Some(action)) => action,
            Err(_) => {
                let what = match kind {
                    Kind::Header(_) => "header",
                    Kind::Body => "body",
                };
                log::warn!("{}: smtp {what} checks lookup error", self.queue_id);
                self.error.get_or_insert(FilterError::Lookup);
                return Verdict::Drop;
            }
        };
        let check = Check {
            queue_id: self.queue_id,
            kind,
            text,
            limit,
        };
        check.apply(action.as_bstr(), maps)
    }

    fn put_lines(&mut self, text: &[u8]) {
        if self.error.is_some() {
            return;
        }
        for line in text.split(|byte| *byte == b'\n') {
            self.out.put(line, LineEnd::End);
        }
    }

    /// The header with its addresses mapped; `None` when nothing changes.
    fn map_addresses(&mut self, text: &BStr) -> Option<BString> {
        if self.tables.generic.is_empty() {
            return None;
        }
        let (name, value) = header::split(text)?;
        if header::lookup(name).is_none_or(|known| known.addresses == Addresses::None) {
            return None;
        }
        let mut nodes = address_tree::parse(value, TOKEN_LIMIT);
        let mut changed = false;
        let mut failed = false;
        for address in address_tree::addresses_mut(&mut nodes) {
            match self.tables.generic.map(address.internal().as_bstr()) {
                Ok(Some(mapped)) => {
                    changed = true;
                    address.replace(postern_mail::address::quote(mapped.as_bstr()));
                }
                Ok(None) => {}
                Err(_) => failed = true,
            }
        }
        if failed {
            self.error.get_or_insert(FilterError::Lookup);
        }
        changed.then(|| address_tree::header(name, &nodes))
    }
}

impl Handler for Filter<'_, '_> {
    fn header(&mut self, part: Part, text: &BStr) {
        if self.error.is_some() {
            return;
        }
        // Content headers of the message itself are the business of the MIME checks.
        let own = header::split(text).map(|(name, _)| name);
        let kind = match part {
            Part::Primary if own.is_some_and(header::is_mime) => Part::Mime,
            other => other,
        };
        let verdict = self.check(Kind::Header(kind), text);
        let replaced;
        let text = match verdict {
            Verdict::Drop => return,
            Verdict::Keep => text,
            Verdict::Prepend(line) => {
                self.put_lines(&line);
                text
            }
            Verdict::Replace(other) => {
                replaced = other;
                replaced.as_bstr()
            }
        };
        let mapped = if part == Part::Primary {
            self.map_addresses(text)
        } else {
            None
        };
        match mapped {
            Some(mapped) => self.put_lines(&mapped),
            None => self.put_lines(text),
        }
    }

    fn header_end(&mut self, _empty_line: bool) {}

    fn body(&mut self, text: &BStr, end: LineEnd, offset: u64) {
        if self.error.is_some() {
            return;
        }
        let limit = self.options.body_checks_limit;
        if self.tables.body_checks.is_empty() || (limit > 0 && offset >= limit) {
            return self.out.put(text, end);
        }
        match self.check(Kind::Body, text) {
            Verdict::Drop => {}
            Verdict::Keep => self.out.put(text, end),
            Verdict::Prepend(line) => {
                self.put_lines(&line);
                self.out.put(text, end);
            }
            Verdict::Replace(other) => self.out.put(&other, end),
        }
    }

    fn error(&mut self, error: MimeError, _text: &BStr) {
        self.error
            .get_or_insert(FilterError::Mime(error.to_string()));
    }
}

/// What is looked up.
#[derive(Clone, Copy)]
enum Kind {
    Header(Part),
    Body,
}

/// One hit.
struct Check<'a> {
    queue_id: &'a str,
    kind: Kind,
    text: &'a BStr,
    limit: usize,
}

impl Check<'_> {
    fn apply(&self, action: &BStr, maps: &Maps) -> Verdict {
        let end = action.find_byteset(b" \t").unwrap_or(action.len());
        let (verb, argument) = action.split_at(end);
        let argument = argument.trim_ascii_start().as_bstr();
        let missing = |verb: &str| {
            log::warn!("{verb} action without text in {} map", maps.title());
            Verdict::Keep
        };
        let bad_text = |verb: &str| {
            log::warn!(
                "bad {verb} header text \"{argument}\" in {} map -- need \"headername: headervalue\"",
                maps.title()
            );
            Verdict::Keep
        };
        match verb.to_ascii_uppercase().as_slice() {
            b"WARN" => self.log("warning", argument, Verdict::Keep),
            b"INFO" => self.log("info", argument, Verdict::Keep),
            b"REPLACE" if argument.is_empty() => missing("REPLACE"),
            b"REPLACE" if self.is_no_header(argument) => bad_text("REPLACE"),
            b"REPLACE" => self.log("replace", argument, Verdict::Replace(argument.into())),
            b"PREPEND" if argument.is_empty() => missing("PREPEND"),
            b"PREPEND" if self.is_no_header(argument) => bad_text("PREPEND"),
            b"PREPEND" => self.log("prepend", argument, Verdict::Prepend(argument.into())),
            b"STRIP" => self.log("strip", argument, Verdict::Drop),
            b"IGNORE" => Verdict::Drop,
            b"DUNNO" | b"OK" => Verdict::Keep,
            _ => {
                log::warn!("unsupported command in {} map: {action}", maps.title());
                Verdict::Keep
            }
        }
    }

    /// Whether a header would be replaced by what is none.
    fn is_no_header(&self, argument: &BStr) -> bool {
        matches!(self.kind, Kind::Header(_)) && header::name(argument).is_none()
    }

    fn log(&self, action: &str, argument: &BStr, verdict: Verdict) -> Verdict {
        let place = match self.kind {
            Kind::Header(_) => "header",
            Kind::Body => "body",
        };
        let shown = printable(self.text);
        let text = excerpt(shown.as_bstr(), self.limit);
        let separator = if argument.is_empty() { "" } else { ": " };
        log::info!(
            "{}: {action}: {place} {text}{separator}{}",
            self.queue_id,
            printable(argument)
        );
        verdict
    }
}

#[cfg(test)]
mod tests {
    use postern_dict::Flags;

    use super::*;

    #[test]
    fn a_header_is_not_replaced_by_what_is_none() {
        let config = postern_config::Config::from_text("").unwrap();
        let maps = Maps::open(&config, "smtp_header_checks", "", Flags::default());
        let verdict = |kind, action: &str| {
            let check = Check {
                queue_id: "TEST1",
                kind,
                text: "X-A: b".into(),
                limit: 60,
            };
            check.apply(action.into(), &maps)
        };
        let header = Kind::Header(Part::Primary);
        for action in ["REPLACE nothing", "PREPEND nothing", "REPLACE", "REJECT x"] {
            assert!(matches!(verdict(header, action), Verdict::Keep), "{action}");
        }
        assert!(matches!(
            verdict(header, "REPLACE X-B: c"),
            Verdict::Replace(_)
        ));
        assert!(matches!(
            verdict(header, "PREPEND X-B: c"),
            Verdict::Prepend(_)
        ));
        assert!(matches!(
            verdict(Kind::Body, "REPLACE nothing"),
            Verdict::Replace(_)
        ));
    }
}
