//! Restriction lists as main.cf has them, and the check that this system is no open relay.

use postern_config::{Config, Param, params};
use std::rc::Rc;

use crate::settings::SettingError;

/// All lists, split into words.
#[derive(Debug)]
#[allow(missing_docs, reason = "the names are those of the lists")]
pub(crate) struct Restrictions {
    pub(crate) client: Rc<[String]>,
    pub(crate) helo: Rc<[String]>,
    pub(crate) sender: Rc<[String]>,
    pub(crate) relay: Rc<[String]>,
    pub(crate) recipient: Rc<[String]>,
    pub(crate) etrn: Rc<[String]>,
    pub(crate) data: Rc<[String]>,
    pub(crate) end_of_data: Rc<[String]>,
    /// `smtpd_restriction_classes` in their order, in which their tables are opened.
    classes: Vec<(String, Rc<[String]>)>,
}

impl Restrictions {
    /// Reads the lists.
    pub(crate) fn load(config: &Config) -> Self {
        let list = |param: Param<String>| split(&config.get(param));
        let classes = split(&config.get(params::SMTPD_RESTRICTION_CLASSES));
        let classes = classes
            .iter()
            .map(|name| {
                (
                    name.clone(),
                    split(&config.lookup(name).unwrap_or_default()),
                )
            })
            .collect();
        Self {
            client: list(params::SMTPD_CLIENT_RESTRICTIONS),
            helo: list(params::SMTPD_HELO_RESTRICTIONS),
            sender: list(params::SMTPD_SENDER_RESTRICTIONS),
            relay: list(params::SMTPD_RELAY_RESTRICTIONS),
            recipient: list(params::SMTPD_RECIPIENT_RESTRICTIONS),
            etrn: list(params::SMTPD_ETRN_RESTRICTIONS),
            data: list(params::SMTPD_DATA_RESTRICTIONS),
            end_of_data: list(params::SMTPD_END_OF_DATA_RESTRICTIONS),
            classes,
        }
    }

    /// No restrictions at all.
    pub(crate) fn none() -> Self {
        let none = || split("");
        Self {
            client: none(),
            helo: none(),
            sender: none(),
            relay: none(),
            recipient: none(),
            etrn: none(),
            data: none(),
            end_of_data: none(),
            classes: Vec::new(),
        }
    }

    /// The list of a restriction class.
    pub(crate) fn class(&self, name: &str) -> Option<&Rc<[String]>> {
        let found = self.classes.iter().find(|(known, _)| known == name);
        found.map(|(_, list)| list)
    }

    /// The tables that the lists name, to be opened before the process is confined.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &str> {
        let lists = [
            &self.client,
            &self.helo,
            &self.sender,
            &self.relay,
            &self.recipient,
            &self.etrn,
            &self.data,
            &self.end_of_data,
        ];
        lists
            .into_iter()
            .chain(self.classes.iter().map(|(_, list)| list))
            .flat_map(|list| list_tables(list))
    }

    /// Refuses lists that let anybody send mail anywhere.
    ///
    /// # Errors
    ///
    /// [`SettingError::OpenRelay`].
    pub(crate) fn require_relay_control(&self) -> Result<(), SettingError> {
        if self.controls_relay(&self.recipient, 0) || self.controls_relay(&self.relay, 0) {
            return Ok(());
        }
        Err(SettingError::OpenRelay)
    }

    fn controls_relay(&self, list: &[String], depth: u32) -> bool {
        const CONTROLS: [&str; 6] = [
            "reject_unauth_destination",
            "defer_unauth_destination",
            "reject",
            "defer",
            "defer_if_permit",
            "check_relay_domains",
        ];
        let mut words = list.iter();
        while let Some(word) = words.next() {
            let name = word.to_ascii_lowercase();
            if name == "permit" {
                if let Some(next) = words.next() {
                    log::warn!("restriction `{next}' after `{name}' is ignored");
                }
                return false;
            }
            if name == "warn_if_reject" {
                words.next();
            } else if CONTROLS.contains(&name.as_str()) {
                return true;
            } else if let Some(class) = self.class(word)
                && depth < 100
                && self.controls_relay(class, depth + 1)
            {
                return true;
            }
        }
        false
    }
}

/// Words of a list that are tables, or whatever stands in braces where tables do; but not the arguments of
/// policy services.
fn list_tables(list: &[String]) -> impl Iterator<Item = &str> {
    let mut previous = "";
    list.iter().filter_map(move |word| {
        let argument_of = std::mem::replace(&mut previous, word);
        let is_table = (word.contains(':') || word.starts_with('{'))
            && !argument_of.eq_ignore_ascii_case("check_policy_service");
        is_table.then_some(word.as_str())
    })
}

/// Splits at commas and blanks outside braces.
pub(crate) fn split(value: &str) -> Rc<[String]> {
    postern_dict::split_list(value)
        .into_iter()
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(relay: &str, recipient: &str, class: &str) -> Restrictions {
        Restrictions {
            relay: split(relay),
            recipient: split(recipient),
            classes: vec![("class".to_owned(), split(class))],
            ..Restrictions::none()
        }
    }

    #[test]
    fn relay_control_is_recognized() {
        #[rustfmt::skip]
        let cases = [
            ("", "permit_mynetworks", "", false),
            ("", "permit_mynetworks, reject_unauth_destination", "", true),
            ("", "warn_if_reject reject_unauth_destination", "", false),
            ("permit, reject", "", "", false),
            ("permit_mynetworks class", "", "permit_auth_destination reject", true),
            ("class", "", "class", false),
            ("", "Defer_If_Permit", "", true),
        ];
        for (relay, recipient, class, want) in cases {
            let got = lists(relay, recipient, class).require_relay_control();
            assert_eq!(got.is_ok(), want, "{relay:?} {recipient:?} {class:?}");
        }
    }

    #[test]
    fn tables_of_lists_are_found() {
        let all = lists(
            "check_client_access hash:/x, inline:{{a=b c}}",
            "check_policy_service inet:h:1, reject_rbl_client a.b",
            "cidr:/y",
        );
        let tables: Vec<&str> = all.tables().collect();
        assert_eq!(tables, ["hash:/x", "inline:{{a=b c}}", "cidr:/y"]);
    }
}
