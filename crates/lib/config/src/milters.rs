//! Lists of Milter services (`smtpd_milters`, `non_smtpd_milters`), and what becomes of mail when a
//! service cannot be asked. Source: milter.md §1, §4 of our specification. Knows no connection.

use crate::words::{grouped_words, split_grouped, unbrace};

/// One service of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MilterService {
    /// `inet:host:port` or `unix:path`.
    pub place: String,
    /// `milter_default_action`, or what the list has for this service.
    pub default_action: String,
}

/// What an action means for mail that a Milter cannot look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unasked {
    /// The mail passes without it.
    Pass,
    /// The mail is accepted and put on hold.
    Hold,
    /// The mail is refused with this SMTP reply.
    Refuse(&'static str),
    /// As `Refuse`, for an action that does not exist.
    Unknown(&'static str),
}

impl MilterService {
    /// The services of a list, in its order. An element that is malformed becomes a service whose
    /// action is unknown, so that its mail is refused.
    pub fn list(text: &str, default_action: &str) -> Vec<Self> {
        grouped_words(text)
            .into_iter()
            .map(|word| Self::parse(word, default_action))
            .collect()
    }

    fn parse(word: &str, default_action: &str) -> Self {
        let mut service = Self {
            place: word.to_owned(),
            default_action: default_action.to_owned(),
        };
        if !word.starts_with('{') {
            return service;
        }
        let Ok(inner) = unbrace(word) else {
            service.default_action.clear();
            return service;
        };
        let mut parts = grouped_words(inner).into_iter();
        service.place = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let part = unbrace(part).unwrap_or(part);
            let mut halves = split_grouped(part, |character| character == '=').into_iter();
            if let (Some(name), Some(value)) = (halves.next(), halves.next())
                && name.trim() == "default_action"
            {
                value.trim().clone_into(&mut service.default_action);
            }
        }
        service
    }

    /// What becomes of mail when this service cannot be asked.
    pub fn unasked(&self) -> Unasked {
        match self.default_action.to_ascii_lowercase().as_str() {
            "accept" => Unasked::Pass,
            "quarantine" => Unasked::Hold,
            "reject" => Unasked::Refuse("550 5.5.0 Service unavailable"),
            "tempfail" => Unasked::Refuse("451 4.7.1 Service unavailable - try again later"),
            "shutdown" => Unasked::Refuse("421 4.7.1 Service unavailable - try again later"),
            _ => Unasked::Unknown("451 4.3.5 Server configuration problem - try again later"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_its_own_action_or_the_common_one() {
        let text = "inet:127.0.0.1:1, { unix:/m, connect_timeout=1s, default_action=accept } \
                    {inet:h:2 {default_action = quarantine}} { unix:/x";
        let found: Vec<(String, Unasked)> = MilterService::list(text, "tempfail")
            .into_iter()
            .map(|service| (service.place.clone(), service.unasked()))
            .collect();
        let refuse = Unasked::Refuse("451 4.7.1 Service unavailable - try again later");
        let unknown = Unasked::Unknown("451 4.3.5 Server configuration problem - try again later");
        let want = [
            ("inet:127.0.0.1:1", refuse),
            ("unix:/m", Unasked::Pass),
            ("inet:h:2", Unasked::Hold),
            ("{ unix:/x", unknown),
        ];
        let want: Vec<(String, Unasked)> = want
            .iter()
            .map(|(place, fate)| ((*place).to_owned(), *fate))
            .collect();
        assert_eq!(found, want);
        assert!(MilterService::list(" ,", "accept").is_empty());
    }
}
