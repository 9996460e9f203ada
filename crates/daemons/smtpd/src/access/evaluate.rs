//! Walks a restriction list: one word, with its argument, after the other.

use postern_config::params;
use std::rc::Rc;
use std::time::Duration;

use super::servers::ServerKind;
use super::{Check, DeferIf, List, Subject, Verdict, class, map_spec};
use crate::reply::ErrorClass;
use crate::session::Session;

/// Classes and table results inside each other.
const MAX_DEPTH: u32 = 100;

/// Where the words come from, one at a time.
struct Words<'a> {
    rest: std::slice::Iter<'a, String>,
    subject: &'a Subject,
}

impl Words<'_> {
    fn next(&mut self) -> Option<&str> {
        self.rest.next().map(String::as_str)
    }
    fn peek(&self) -> Option<&str> {
        self.rest.as_slice().first().map(String::as_str)
    }
}

impl Session<'_> {
    /// Evaluates a list. `default_command` is what a bare `type:name` means.
    pub(super) fn evaluate(
        &mut self,
        list: &List,
        subject: &Subject,
        default_command: Option<&'static str>,
    ) -> Check {
        if self.access.discard {
            return Ok(Verdict::Permit);
        }
        if self.access.depth >= MAX_DEPTH {
            log::warn!(
                "restriction classes or access table entries refer to each other without end"
            );
            return self.server_error();
        }
        let class = (!list.is_empty()).then_some(subject.class);
        if let Some(class) = class {
            log::debug!(">>> START {class} RESTRICTIONS <<<");
        }
        self.access.depth += 1;
        let result = self.evaluate_words(
            &mut Words {
                rest: list.iter(),
                subject,
            },
            default_command,
        );
        self.access.depth -= 1;
        if let (Some(class), false) = (class, is_abrupt(&result)) {
            log::debug!(">>> END {class} RESTRICTIONS <<<");
        }
        result
    }

    fn evaluate_words(
        &mut self,
        words: &mut Words<'_>,
        default_command: Option<&'static str>,
    ) -> Check {
        while let Some(word) = words.next().map(str::to_owned) {
            // Whatever follows, the outcome is to try again later.
            if self.access.defer_if_permit.is_some() && self.access.defer_if_reject.is_some() {
                break;
            }
            log::debug!("generic_checks: name={word}");
            if word.eq_ignore_ascii_case("warn_if_reject") {
                if self.access.warn_if_reject == 0 {
                    self.access.warn_if_reject = self.access.depth;
                }
                continue;
            }
            let result = self.one_restriction(&word, words, default_command);
            if !is_abrupt(&result) {
                let name = default_command.filter(|_| word.contains(':'));
                let status = self.status_of(&result);
                log::debug!(
                    "generic_checks: name={} status={status}",
                    name.unwrap_or(&word)
                );
            }
            let verdict = result?;
            if self.access.warn_if_reject >= self.access.depth {
                self.access.warn_if_reject = 0;
            }
            if verdict == Verdict::Permit || self.access.discard {
                return Ok(Verdict::Permit);
            }
        }
        Ok(Verdict::Dunno)
    }

    /// The outcome of a restriction, for those who read along: 0 nothing, 1 permitted, 2 refused.
    fn status_of(&self, result: &Check) -> u8 {
        match result {
            Err(_) => 2,
            Ok(Verdict::Permit) => 1,
            Ok(Verdict::Dunno) => u8::from(self.access.discard),
        }
    }

    fn one_restriction(
        &mut self,
        word: &str,
        words: &mut Words<'_>,
        default_command: Option<&'static str>,
    ) -> Check {
        if word.contains(':') {
            let Some(command) = default_command else {
                log::warn!(
                    "specify one of (check_client_access, check_helo_access, check_sender_access, check_recipient_access, check_etrn_access) before {} restriction \"{word}\"",
                    words.subject.class
                );
                return self.server_error();
            };
            return self.table_restriction(command, word);
        }
        let name = word.to_ascii_lowercase();
        if let Some(result) = self.last_word(&name, words) {
            return result;
        }
        if let Some(result) = self.generic(&name, words) {
            return result;
        }
        if let Some(result) = self.about_the_client(&name, words) {
            return result;
        }
        if let Some(result) = self.about_addresses(&name) {
            return result;
        }
        if let Some(result) = self.about_the_login(&name, words.subject) {
            return result;
        }
        if is_table_command(&name) {
            let table = words.next().unwrap_or(word).to_owned();
            return self.table_restriction(&name, &table);
        }
        if let Some(result) = self.in_other_services(&name, words) {
            return result;
        }
        if let Some(class) = self.server.restrictions.class(word).map(Rc::clone) {
            return self.evaluate(&class, words.subject, default_command);
        }
        log::warn!("unknown smtpd restriction: \"{word}\"");
        self.server_error()
    }

    /// Restrictions that decide: what follows them has no effect, which is said after the decision.
    fn last_word(&mut self, name: &str, words: &Words<'_>) -> Option<Check> {
        let subject = words.subject;
        let result = match name {
            "permit" => self.permit("permit", None, subject),
            "reject" => {
                let code = self.config().get(params::REJECT_CODE);
                self.reject_subject(ErrorClass::POLICY, code, "5.7.1", subject, "Access denied")
            }
            "defer" => {
                let code = self.config().get(params::DEFER_CODE);
                let text = "Try again later";
                self.reject_subject(ErrorClass::POLICY, code, "4.3.2", subject, text)
            }
            "check_relay_domains" if !self.server.look.smtpd_without_old_restrictions() => {
                let advice = "use \"reject_unauth_destination\" instead";
                self.say_will_be_removed("check_relay_domains", advice);
                self.check_relay_domains(subject)
            }
            _ => return None,
        };
        if let (Some(next), 0) = (words.peek(), self.access.warn_if_reject) {
            log::warn!("restriction `{next}' after `{name}' is ignored");
        }
        Some(result)
    }

    /// Warns about a restriction of old, once per process.
    pub(super) fn say_will_be_removed(&mut self, name: &'static str, advice: &str) {
        if self.server.said_about_removal.insert(name) {
            log::warn!("support for restriction \"{name}\" will be removed from Postfix; {advice}");
        }
    }

    /// Restrictions that look at nothing, or at the session only.
    fn generic(&mut self, name: &str, words: &mut Words<'_>) -> Option<Check> {
        let subject = words.subject.clone();
        Some(match name {
            "defer_if_permit" => {
                let text = super::subject_text(&subject, b"defer_if_permit requested");
                self.defer_if(DeferIf::Permit, ErrorClass::POLICY, 450, "4.7.0", text)
            }
            "defer_if_reject" => {
                let text = super::subject_text(&subject, b"defer_if_reject requested");
                self.defer_if(DeferIf::Reject, ErrorClass::POLICY, 450, "4.7.0", text)
            }
            "sleep" => {
                let seconds = words.next().and_then(|text| text.parse::<u64>().ok());
                let Some(seconds) = seconds else {
                    log::warn!("restriction sleep must be followed by number");
                    return Some(self.server_error());
                };
                std::thread::sleep(Duration::from_secs(seconds));
                Ok(Verdict::Dunno)
            }
            "reject_plaintext_session" => {
                self.trace_client("reject_plaintext_session");
                let code = self.config().get(params::PLAINTEXT_REJECT_CODE);
                self.reject(
                    ErrorClass::POLICY,
                    code,
                    "4.7.1",
                    "Session encryption is required",
                )
            }
            "reject_unauth_pipelining" => {
                log::debug!("reject_unauth_pipelining: {}", self.stage);
                if !self.has_pipelined() {
                    return Some(Ok(Verdict::Dunno));
                }
                let text = "Improper use of SMTP command pipelining";
                self.reject_subject(ErrorClass::PROTOCOL, 503, "5.5.0", &subject, text)
            }
            "reject_multi_recipient_bounce" => {
                // The recipient that is being judged counts, too.
                let recipients = self.recipient_count() + u32::from(self.stage == "RCPT");
                if recipients <= 1 || self.sender.as_ref().is_none_or(|sender| !sender.is_empty()) {
                    return Some(Ok(Verdict::Dunno));
                }
                let code = self
                    .config()
                    .get(params::MULTI_RECIPIENT_BOUNCE_REJECT_CODE);
                self.reject_subject(
                    ErrorClass::POLICY,
                    code,
                    "5.5.3",
                    &subject,
                    "Multi-recipient bounce",
                )
            }
            _ => return None,
        })
    }

    fn about_the_client(&mut self, name: &str, words: &Words<'_>) -> Option<Check> {
        Some(match name {
            "permit_inet_interfaces" => self.permit_inet_interfaces(),
            "permit_mynetworks" => self.permit_mynetworks(words.subject),
            // Without login and certificates nobody has either.
            "permit_sasl_authenticated"
            | "permit_tls_clientcerts"
            | "permit_tls_all_clientcerts" => Ok(Verdict::Dunno),
            "reject_unknown_client_hostname" | "reject_unknown_client" => {
                self.reject_unknown_client_hostname()
            }
            "permit_naked_ip_address" if !self.server.look.smtpd_without_old_restrictions() => {
                self.permit_naked_ip_address()
            }
            "reject_unknown_reverse_client_hostname" => {
                self.reject_unknown_reverse_client_hostname()
            }
            "reject_invalid_helo_hostname" | "reject_invalid_hostname" => {
                self.reject_invalid_helo_hostname()
            }
            "reject_non_fqdn_helo_hostname" | "reject_non_fqdn_hostname" => {
                self.reject_non_fqdn_helo_hostname()
            }
            "reject_unknown_helo_hostname" | "reject_unknown_hostname" => {
                self.reject_unknown_helo_hostname()
            }
            _ => return None,
        })
    }

    fn about_addresses(&mut self, name: &str) -> Option<Check> {
        Some(match name {
            "reject_non_fqdn_sender" => self.reject_non_fqdn_sender(),
            "reject_non_fqdn_recipient" => self.reject_non_fqdn_recipient(),
            "reject_unknown_sender_domain" | "reject_unknown_address" => {
                self.reject_unknown_sender_domain()
            }
            "reject_unknown_recipient_domain" => self.reject_unknown_recipient_domain(),
            "reject_unlisted_sender" => self.reject_unlisted_sender(),
            "reject_unlisted_recipient" | "check_recipient_maps" => {
                self.reject_unlisted_recipient()
            }
            "reject_unverified_sender" => self.reject_unverified_sender(),
            "reject_unverified_recipient" => self.reject_unverified_recipient(),
            "permit_auth_destination" => self.permit_auth_destination(),
            "reject_unauth_destination" => self.reject_unauth_destination(),
            "defer_unauth_destination" => self.defer_unauth_destination(),
            "permit_mx_backup" => self.permit_mx_backup(),
            "reject_maps_rbl" | "permit_naked_ip_address" | "check_relay_domains"
                if self.server.look.smtpd_without_old_restrictions() =>
            {
                let instead = match name {
                    "reject_maps_rbl" => "reject_rbl_client domain-name",
                    "permit_naked_ip_address" => {
                        "permit_mynetworks\" or \"permit_sasl_authenticated"
                    }
                    _ => "reject_unauth_destination",
                };
                log::warn!(
                    "support for restriction \"{name}\" has been removed in Postfix 3.9; instead, specify \"{instead}\""
                );
                self.server_error()
            }
            _ => return None,
        })
    }

    /// Restrictions that need a block list or a policy service.
    fn in_other_services(&mut self, name: &str, words: &mut Words<'_>) -> Option<Check> {
        match name {
            "check_sasl_access" => {
                words.next();
                Some(Ok(Verdict::Dunno))
            }
            "check_ccert_access" => Some(match words.next() {
                Some(table) if table.starts_with('{') && map_spec::table(table).is_err() => {
                    log::warn!("See earlier parsing error messages for '{table}");
                    self.server_error()
                }
                _ => Ok(Verdict::Dunno),
            }),
            "reject_rbl_client"
            | "reject_rbl"
            | "reject_rhsbl_client"
            | "reject_rhsbl_reverse_client"
            | "reject_rhsbl_helo"
            | "reject_rhsbl_sender"
            | "reject_rhsbl_recipient"
            | "permit_dnswl_client"
            | "permit_rhswl_client" => {
                if words.next().is_none() {
                    log::warn!("restriction {name} requires domain name argument");
                    return Some(Ok(Verdict::Dunno));
                }
                Some(self.not_available(name))
            }
            "check_policy_service" => {
                words.next();
                Some(self.not_available(name))
            }
            "reject_maps_rbl" => {
                let advice = "use \"reject_rbl_client domain-name\" instead";
                self.say_will_be_removed("reject_maps_rbl", advice);
                if self.config().get(params::MAPS_RBL_DOMAINS).is_empty() {
                    return Some(Ok(Verdict::Dunno));
                }
                Some(self.not_available(name))
            }
            _ => None,
        }
    }

    /// Refuses for now rather than to let mail pass unchecked.
    fn not_available(&mut self, name: &str) -> Check {
        log::warn!("restriction {name} is not available");
        self.server_error()
    }

    /// `check_WHAT_access type:name`.
    fn table_restriction(&mut self, command: &str, table: &str) -> Check {
        if !table.contains(':') {
            log::warn!("restriction {command}: bad argument \"{table}\": need maptype:mapname");
            return self.server_error();
        }
        match command {
            "check_client_access" => {
                let subject = Subject::new(self.client.namaddr.as_str(), class::CLIENT);
                self.check_client_access(table, &subject)
            }
            "check_reverse_client_hostname_access" => {
                let name = self.client.reverse_name.clone();
                let subject = Subject::new(name.as_str(), class::UNVERIFIED_CLIENT);
                let result = self.check_reverse_client_access(table, &subject);
                self.forbid_permit(command, &subject, result)
            }
            "check_helo_access" => match self.helo.clone() {
                Some(helo) => self.check_host_access(
                    table,
                    &helo.to_string(),
                    &Subject::new(helo, class::HELO),
                ),
                None => Ok(Verdict::Dunno),
            },
            "check_sender_access" => match self.sender.clone() {
                Some(sender) => self.check_address_access(table, &sender, class::SENDER),
                None => Ok(Verdict::Dunno),
            },
            "check_recipient_access" => match self.recipient.clone() {
                Some(recipient) => self.check_address_access(table, &recipient, class::RECIPIENT),
                None => Ok(Verdict::Dunno),
            },
            "check_etrn_access" => match self.etrn_name.clone() {
                Some(name) => self.check_host_access(
                    table,
                    &name.to_string(),
                    &Subject::new(name, class::ETRN),
                ),
                None => Ok(Verdict::Dunno),
            },
            _ => match ServerKind::of_command(command) {
                Some((what, kind)) => self.check_server_access(command, what, kind, table),
                None => self.server_error(),
            },
        }
    }
}

fn is_abrupt(result: &Check) -> bool {
    matches!(result, Err(rejection) if rejection.is_abrupt)
}

fn is_table_command(name: &str) -> bool {
    const COMMANDS: [&str; 6] = [
        "check_client_access",
        "check_reverse_client_hostname_access",
        "check_helo_access",
        "check_sender_access",
        "check_recipient_access",
        "check_etrn_access",
    ];
    COMMANDS.contains(&name) || ServerKind::of_command(name).is_some()
}
