//! Text that an operator adds to refusals (`smtpd_reject_footer`), or puts in their place
//! (`smtpd_reject_filter_maps`).

use bstr::{BStr, BString, ByteSlice};
use postern_config::params;
use postern_mail::address;

use crate::reply::{self, split_codes};
use crate::session::Session;

impl Session<'_> {
    /// Replaces a refusal by what `smtpd_reject_filter_maps` has for it.
    pub(crate) fn with_filter(&mut self, text: BString) -> BString {
        let maps = self.config().get(params::SMTPD_REJECT_FILTER_MAPS);
        if maps.is_empty() {
            return text;
        }
        let Ok(Some(new)) = self.server.find_in_table(&maps, text.as_bstr(), false) else {
            return text;
        };
        let old_status = split_codes(text.as_bstr()).is_some_and(|(_, status)| !status.is_empty());
        let good = split_codes(new.as_bstr()).is_some_and(|(code, status)| {
            matches!(code.first(), Some(b'4' | b'5'))
                && (!old_status || status.first() == code.first())
                && (status.is_empty() || status.first() == code.first())
        });
        if !good {
            log::warn!(
                "{}: ignoring invalid reject filter result: {}",
                self.queue_id(),
                self.masked(&new)
            );
            return text;
        }
        log::info!(
            "{}: reply filter in: {}",
            self.queue_id(),
            self.masked(&text)
        );
        log::info!(
            "{}: reply filter out: {}",
            self.queue_id(),
            self.masked(&new)
        );
        new
    }

    /// Adds the footer for a refusal.
    pub(crate) fn with_footer(&mut self, text: BString) -> BString {
        let maps = self.config().get(params::SMTPD_REJECT_FOOTER_MAPS);
        let mut footer = BString::default();
        if !maps.is_empty()
            && let Ok(Some(found)) = self.server.find_in_table(&maps, text.as_bstr(), false)
        {
            footer = found;
        }
        if footer.is_empty() {
            footer = self.config().get(params::SMTPD_REJECT_FOOTER).into();
        }
        if footer.is_empty() {
            return text;
        }
        reply::append_footer(text.as_bstr(), &footer, &|part| self.expand(part))
    }

    fn expand(&self, template: &[u8]) -> BString {
        let template = template.to_str_lossy();
        let mut out = BString::default();
        let mut rest: &str = &template;
        while let Some(at) = rest.find('$') {
            out.extend_from_slice(rest.get(..at).unwrap_or_default().as_bytes());
            rest = rest.get(at + 1..).unwrap_or_default();
            let (name, tail) = macro_name(rest);
            if name.is_empty() {
                out.push(b'$');
                rest = rest.strip_prefix('$').unwrap_or(rest);
                continue;
            }
            match self.macro_value(name) {
                Some(value) => out.extend_from_slice(&self.filter_value(&value)),
                None => log::warn!("unknown macro name \"{name}\" in expansion request"),
            }
            rest = tail;
        }
        out.extend_from_slice(rest.as_bytes());
        out
    }

    fn macro_value(&self, name: &str) -> Option<BString> {
        let part = |whole: &Option<BString>, pick: fn(&BStr) -> Option<&BStr>| {
            whole
                .as_ref()
                .and_then(|whole| pick(whole.as_ref()))
                .map(BStr::to_owned)
                .unwrap_or_default()
        };
        let local = |whole: &Option<BString>| part(whole, |whole| Some(address::local_part(whole)));
        let domain = |whole: &Option<BString>| part(whole, address::domain);
        Some(match name {
            "server_name" => self.server.set.myhostname.as_str().into(),
            "client" => self.client.namaddr.as_str().into(),
            "client_port" => self.client.port.as_str().into(),
            "client_address" => self.client.address.as_str().into(),
            "client_name" => self.client_name_or_unknown().into(),
            "reverse_client_name" => self.client.reverse_name.as_str().into(),
            "helo_name" => self.helo.clone().unwrap_or_default(),
            "sender" => match &self.sender {
                Some(sender) if sender.is_empty() => "<>".into(),
                Some(sender) => sender.clone(),
                None => BString::default(),
            },
            "sender_name" => local(&self.sender),
            "sender_domain" => domain(&self.sender),
            "recipient" => self.recipient.clone().unwrap_or_default(),
            "recipient_name" => local(&self.recipient),
            "recipient_domain" => domain(&self.recipient),
            "localtime" => {
                let now = postern_sys::clock::local_now();
                format!(
                    "{} {:02} {:02}:{:02}:{:02}",
                    now.month_name(),
                    now.day,
                    now.hour,
                    now.minute,
                    now.second
                )
                .into()
            }
            _ => return None,
        })
    }

    /// Client text in a footer: only characters of `smtpd_expansion_filter`.
    fn filter_value(&self, value: &BString) -> BString {
        let filter = postern_mail::printable::unescape(BStr::new(
            &self.config().get(params::SMTPD_EXPANSION_FILTER),
        ));
        value
            .iter()
            .map(|byte| if filter.contains(byte) { *byte } else { b'_' })
            .collect::<Vec<u8>>()
            .into()
    }
}

/// The name after `$`, with or without braces, and what follows.
fn macro_name(text: &str) -> (&str, &str) {
    for (open, close) in [('{', '}'), ('(', ')')] {
        if let Some(inner) = text.strip_prefix(open) {
            return inner.split_once(close).unwrap_or(("", text));
        }
    }
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macro_names_end_where_they_should() {
        for (text, want) in [
            ("client_name, x", ("client_name", ", x")),
            ("{sender}.", ("sender", ".")),
            ("$x", ("", "$x")),
            ("{open", ("", "{open")),
        ] {
            assert_eq!(macro_name(text), want);
        }
    }
}
