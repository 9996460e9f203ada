//! HELO and EHLO.

use bstr::BString;
use postern_mail::printable::{Charset, mask};
use postern_mail::smtp_command::Word;

use super::{Outcome, join};
use crate::ehlo_keywords::Keywords;
use crate::reply::ErrorClass;
use crate::session::{Abort, Session, Step};

impl Session<'_> {
    pub(super) fn helo_command(&mut self, args: &[Word]) -> Step<Outcome> {
        if let Some(outcome) = self.greet_back(args, "501 Syntax: HELO hostname")? {
            return Ok(outcome);
        }
        // A session that began with EHLO stays one.
        self.succeed(format!("250 {}", self.server.set.myhostname))
    }

    pub(super) fn ehlo_command(&mut self, args: &[Word]) -> Step<Outcome> {
        if let Some(outcome) = self.greet_back(args, "501 Syntax: EHLO hostname")? {
            return Ok(outcome);
        }
        self.esmtp = true;
        let separator = if self.server.look.log_list_comma() {
            ", "
        } else {
            " "
        };
        if let Some(words) = self.discarded.to_log(separator) {
            log::info!("discarding EHLO keywords: {words}");
        }
        if self.discarded_is_unknown {
            log::warn!(
                "don't know what EHLO features to announce to {}",
                self.client.namaddr
            );
            return Err(Abort::LocalData);
        }
        let lines = self.ehlo_lines()?;
        let last = lines.len().saturating_sub(1);
        let reply: Vec<String> = lines
            .into_iter()
            .enumerate()
            .map(|(index, line)| format!("250{}{line}", if index == last { ' ' } else { '-' }))
            .collect();
        self.succeed(reply.join("\n"))
    }

    /// What HELO and EHLO have in common. An outcome: the command is answered.
    fn greet_back(&mut self, args: &[Word], syntax: &str) -> Step<Option<Outcome>> {
        let Some(name) = args.get(1..).filter(|rest| !rest.is_empty()) else {
            return self.reply_protocol_error(syntax).map(Some);
        };
        let name = self.clean_name(&join(name));
        if !self.alone && !self.server.set.delay_reject {
            let earlier = self.helo.replace(name.clone());
            if let Err(rejection) = self.check_helo() {
                self.helo = earlier;
                return self.reply_rejection(rejection).map(Some);
            }
        }
        self.end_transaction();
        self.trim_transcript();
        self.helo = Some(name);
        match self.milter_reply() {
            // Any other reply waits for the mail.
            Some(reply) if reply.starts_with("421") => {
                self.reply(reply)?;
                Ok(Some(Outcome::Bad))
            }
            _ => Ok(None),
        }
    }

    /// The name as log and Received: header can have it.
    fn clean_name(&self, name: &BString) -> BString {
        let charset = if self.server.set.smtputf8 {
            Charset::Utf8
        } else {
            Charset::Ascii
        };
        let mut name = mask(name, charset, b'?');
        for byte in name.iter_mut().filter(|byte| b" <>()\\\";@".contains(byte)) {
            *byte = b'?';
        }
        name
    }

    fn ehlo_lines(&mut self) -> Step<Vec<String>> {
        let set = &self.server.set;
        let mut lines = vec![set.myhostname.clone()];
        let mut add = |keyword: Keywords, wanted: bool, line: &str| {
            if wanted && !self.discarded.has(keyword) {
                lines.push(line.to_owned());
            }
        };
        let size = if set.message_size_limit > 0 {
            format!("SIZE {}", set.message_size_limit)
        } else {
            "SIZE".to_owned()
        };
        let (vrfy, smtputf8) = (!set.disable_vrfy, set.smtputf8);
        let Ok(verp) = self
            .server
            .lists_client(|lists| &mut lists.verp_clients, &self.client)
        else {
            log::warn!(
                "don't know if EHLO feature XVERP should be announced to {}",
                self.client.namaddr
            );
            self.error_mask.add(ErrorClass::DATA);
            return Err(Abort::LocalData);
        };
        add(Keywords::PIPELINING, true, "PIPELINING");
        add(Keywords::SIZE, true, &size);
        add(Keywords::VRFY, vrfy, "VRFY");
        add(Keywords::ETRN, true, "ETRN");
        add(Keywords::VERP, verp, "XVERP");
        add(Keywords::ENHANCEDSTATUSCODES, true, "ENHANCEDSTATUSCODES");
        add(Keywords::EIGHTBITMIME, true, "8BITMIME");
        add(Keywords::DSN, true, "DSN");
        add(Keywords::SMTPUTF8, smtputf8, "SMTPUTF8");
        add(Keywords::CHUNKING, true, "CHUNKING");
        Ok(lines)
    }
}
