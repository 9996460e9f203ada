//! VRFY: would mail for an address be accepted?

use bstr::ByteSlice;
use postern_mail::smtp_command::Word;

use super::{Outcome, is, join};
use crate::ehlo_keywords::Keywords;
use crate::session::{Session, Step};

impl Session<'_> {
    pub(super) fn vrfy_command(&mut self, args: &[Word]) -> Step<Outcome> {
        if self.server.set.disable_vrfy {
            return self.reply_protocol_error("502 5.5.1 VRFY command is disabled");
        }
        let may_utf8 = self.server.set.smtputf8 && !self.discarded.has(Keywords::SMTPUTF8);
        let mut rest = args.get(1..).unwrap_or_default();
        let mut smtputf8 = false;
        if let (true, [before @ .., last]) = (may_utf8, rest)
            && is(last, "SMTPUTF8")
        {
            (rest, smtputf8) = (before, true);
        }
        if rest.is_empty() {
            let optional = if may_utf8 { " [SMTPUTF8]" } else { "" };
            return self.reply_protocol_error(format!("501 5.5.4 Syntax: VRFY address{optional}"));
        }
        if let Some(count) = self.count_event("recipient", self.server.limits.recipient_rate) {
            return self.refuse_rate(
                "Recipient address",
                count,
                "450 4.7.1 Error: too many recipients from",
            );
        }
        let argument = join(rest);
        let closed = rest.iter().all(|word| !word.bad);
        let address = if closed {
            self.extract_address(argument.as_bstr(), false, smtputf8)
        } else {
            None
        };
        let Some(address) = address else {
            return self.reply_protocol_error("501 5.1.3 Bad recipient address syntax");
        };
        if !self.alone {
            let earlier = self.recipient.replace(address);
            self.access.forget_recipient();
            let result = self.check_recipient();
            self.recipient = earlier;
            if let Err(rejection) = result {
                return self.reply_rejection(rejection);
            }
        }
        self.succeed([b"252 2.0.0 ".as_slice(), &argument].concat())
    }
}
