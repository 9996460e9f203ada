//! Standard input as a mail message (`-b`, `-h`, `-m`): headers and body lines are the keys.

use bstr::BStr;
use postern_mail::mime::{Handler, LineEnd, MimeError, MimeState, Options as MimeOptions, Part};

use crate::Options;

/// Feeds the lines of a message to the MIME states and the keys to a closure.
pub(crate) struct Message<'a> {
    state: MimeState,
    keys: Keys<'a>,
}

struct Keys<'a> {
    headers: bool,
    body: bool,
    ask: &'a mut dyn FnMut(&BStr),
}

impl<'a> Message<'a> {
    pub(crate) fn new(options: &Options, ask: &'a mut dyn FnMut(&BStr)) -> Self {
        let mime = MimeOptions {
            parse_structure: options.mime,
            ..MimeOptions::default()
        };
        Self {
            state: MimeState::new(mime),
            keys: Keys {
                headers: options.headers,
                body: options.body,
                ask,
            },
        }
    }

    pub(crate) fn line(&mut self, text: &BStr) {
        self.state.line(text, LineEnd::End, &mut self.keys);
    }

    pub(crate) fn finish(&mut self) {
        self.state.finish(&mut self.keys);
    }
}

impl Handler for Keys<'_> {
    fn header(&mut self, _part: Part, text: &BStr) {
        if self.headers {
            (self.ask)(text);
        }
    }
    fn header_end(&mut self, _empty_line: bool) {}
    fn body(&mut self, text: &BStr, _end: LineEnd, _offset: u64) {
        if self.body {
            (self.ask)(text);
        }
    }
    fn error(&mut self, _error: MimeError, _text: &BStr) {}
}
