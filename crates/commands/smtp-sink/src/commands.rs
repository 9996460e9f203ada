//! The commands that smtp-sink knows, and what it was told to do with each.

use postern_traffic::Dice;
use std::ffi::OsStr;
use std::time::Duration;

/// A command, or an event that is treated as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Connect,
    Helo,
    Ehlo,
    Lhlo,
    Xclient,
    Xforward,
    Auth,
    Mail,
    Rcpt,
    Data,
    Dot,
    Rset,
    Noop,
    Vrfy,
    Quit,
}

/// All of them, by their order in the type.
const ALL: &[(Command, &str)] = &[
    (Command::Connect, "connect"),
    (Command::Helo, "HELO"),
    (Command::Ehlo, "EHLO"),
    (Command::Lhlo, "LHLO"),
    (Command::Xclient, "XCLIENT"),
    (Command::Xforward, "XFORWARD"),
    (Command::Auth, "AUTH"),
    (Command::Mail, "MAIL"),
    (Command::Rcpt, "RCPT"),
    (Command::Data, "DATA"),
    (Command::Dot, "."),
    (Command::Rset, "RSET"),
    (Command::Noop, "NOOP"),
    (Command::Vrfy, "VRFY"),
    (Command::Quit, "QUIT"),
];

impl Command {
    /// The name as it is logged.
    pub(crate) fn name(self) -> &'static str {
        ALL.iter()
            .find(|(command, _)| *command == self)
            .map_or("", |(_, name)| name)
    }

    /// Finds a command by its name in any case.
    pub(crate) fn by_name(name: &[u8]) -> Option<Self> {
        ALL.iter()
            .find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name))
            .map(|(command, _)| *command)
    }
}

/// What happens instead of the usual reply. The order of the variants is their rank: when a command
/// has several, the greatest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// `-r`: a 4xx reply.
    Soft,
    /// `-f`: a 5xx reply.
    Hard,
    /// `-Q`: a 421 reply, then the end.
    Closing,
    /// `-q`: the end without a reply.
    Disconnect,
}

/// A delay, and how likely it comes again.
#[derive(Debug, Clone, Copy)]
struct Delay {
    time: Duration,
    odds: Option<u32>,
}

/// What was told about one command.
#[derive(Debug, Clone, Copy, Default)]
struct Orders {
    failure: Option<Failure>,
    logged: bool,
    delay: Option<Delay>,
}

/// What was told about all commands.
#[derive(Debug, Default)]
pub(crate) struct Table([Orders; ALL.len()]);

impl Table {
    fn orders(&mut self, name: &str) -> Result<&mut Orders, String> {
        Command::by_name(name.as_bytes())
            .and_then(|command| self.0.get_mut(command as usize))
            .ok_or_else(|| format!("unknown command: {name}"))
    }

    /// Every named command fails from now on, if nothing worse was ordered.
    pub(crate) fn fail(&mut self, names: &OsStr, failure: Failure) -> Result<(), String> {
        each(names, |name| {
            let orders = self.orders(name)?;
            orders.failure = orders.failure.max(Some(failure));
            Ok(())
        })
    }

    /// Every named command is logged.
    pub(crate) fn log(&mut self, names: &OsStr) -> Result<(), String> {
        each(names, |name| {
            self.orders(name)?.logged = true;
            Ok(())
        })
    }

    /// Reads `command:delay[:odds]`.
    pub(crate) fn delay(&mut self, text: &OsStr) -> Result<(), String> {
        let text = text.to_string_lossy();
        let mut parts = text.splitn(3, ':');
        let (Some(name), Some(time)) = (parts.next(), parts.next()) else {
            return Err(format!("invalid command delay argument: {text}"));
        };
        let orders = self.orders(name)?;
        let seconds = postern_traffic::positive(OsStr::new(time))
            .ok_or_else(|| format!("non-positive '{name}' delay"))?;
        let odds = match parts.next() {
            None => None,
            Some(odds) => Some(
                postern_traffic::nonnegative(OsStr::new(odds))
                    .filter(|odds| *odds < 100)
                    .ok_or_else(|| format!("delay odds for '{name}' out of range"))?,
            ),
        };
        orders.delay = Some(Delay {
            time: Duration::from_secs(seconds.into()),
            odds,
        });
        Ok(())
    }

    /// How `command` is to fail.
    pub(crate) fn failure(&self, command: Command) -> Option<Failure> {
        self.0
            .get(command as usize)
            .and_then(|orders| orders.failure)
    }

    /// Whether `command` is logged.
    pub(crate) fn is_logged(&self, command: Command) -> bool {
        self.0
            .get(command as usize)
            .is_some_and(|orders| orders.logged)
    }

    /// How long to wait with the reply this time.
    pub(crate) fn wait(&self, command: Command, dice: &mut Dice) -> Option<Duration> {
        let delay = self.0.get(command as usize)?.delay?;
        let Some(odds) = delay.odds else {
            return Some(delay.time);
        };
        let mut times = 0;
        while times < 1000 && dice.up_to(99) < odds {
            times += 1;
        }
        (times > 0).then(|| delay.time.saturating_mul(times))
    }
}

fn each(names: &OsStr, mut use_name: impl FnMut(&str) -> Result<(), String>) -> Result<(), String> {
    let names = names.to_string_lossy();
    names
        .split([' ', '\t', '\r', '\n', ','])
        .filter(|name| !name.is_empty())
        .try_for_each(&mut use_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_order_for_a_command_wins() {
        let mut table = Table::default();
        table
            .fail(OsStr::new("mail, RCPT ."), Failure::Hard)
            .unwrap();
        table.fail(OsStr::new("MAIL"), Failure::Soft).unwrap();
        table.fail(OsStr::new("rcpt"), Failure::Disconnect).unwrap();
        let cases = [
            (Command::Mail, Some(Failure::Hard)),
            (Command::Rcpt, Some(Failure::Disconnect)),
            (Command::Dot, Some(Failure::Hard)),
            (Command::Quit, None),
        ];
        for (command, want) in cases {
            assert_eq!(table.failure(command), want, "{command:?}");
        }
    }

    #[test]
    fn delays_are_checked() {
        #[rustfmt::skip]
        let cases: &[(&str, Option<&str>)] = &[
            ("FOO:1",      Some("unknown command: FOO")),
            ("MAIL",       Some("invalid command delay argument: MAIL")),
            ("MAIL:x",     Some("non-positive 'MAIL' delay")),
            ("MAIL:1:100", Some("delay odds for 'MAIL' out of range")),
            ("MAIL:1:0",   None),
            ("MAIL:1:99",  None),
            ("connect:2",  None),
        ];
        for (text, want) in cases {
            let got = Table::default().delay(OsStr::new(text)).err();
            assert_eq!(got.as_deref(), *want, "{text}");
        }
    }

    #[test]
    fn names_are_in_the_order_of_the_type() {
        for (position, (command, name)) in ALL.iter().enumerate() {
            assert_eq!(*command as usize, position, "{name}");
        }
    }
}
