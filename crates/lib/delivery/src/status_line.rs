//! The delivery status line, which log analysers parse (logging.md §2).

use std::fmt;

use bstr::BStr;
use postern_ipc::deliver::{MessageStats, Moment};

/// `to=<…>, orig_to=<…>, relay=…, delay=…, delays=a/b/c/d, dsn=…, status=… (…)`, without the queue ID.
#[derive(Debug)]
pub struct StatusLine<'a> {
    /// Recipient as logged.
    pub recipient: &'a BStr,
    /// Original recipient as logged; left out when it equals the recipient.
    pub original: Option<&'a BStr>,
    /// `relay=` text.
    pub relay: &'a BStr,
    /// Time stamps.
    pub stats: &'a MessageStats,
    /// When the delivery ended, unless the stamps say so.
    pub now: Moment,
    /// `delay_logging_resolution_limit`, 0 to 6.
    pub resolution: u32,
    /// Enhanced status.
    pub dsn: &'a BStr,
    /// `sent`, `deferred`, …
    pub status: &'static str,
    /// Reason; line feeds become blanks.
    pub reason: &'a BStr,
}

impl fmt::Display for StatusLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "to=<{}>", self.recipient)?;
        if let Some(original) = self.original {
            write!(f, ", orig_to=<{original}>")?;
        }
        write!(f, ", relay={}", self.relay)?;
        if self.stats.reuse_count > 0 {
            write!(f, ", conn_use={}", self.stats.reuse_count + 1)?;
        }
        let [total, a, b, c, d] = delays(self.stats, self.now);
        let resolution = self.resolution;
        write!(
            f,
            ", delay={}",
            Delay {
                microseconds: total,
                resolution
            }
        )?;
        write!(
            f,
            ", delays={}",
            Delay {
                microseconds: a,
                resolution
            }
        )?;
        for delay in [b, c, d] {
            write!(
                f,
                "/{}",
                Delay {
                    microseconds: delay,
                    resolution
                }
            )?;
        }
        write!(
            f,
            ", dsn={}, status={} ({})",
            self.dsn, self.status, self.reason
        )
    }
}

/// Total delay, then the four parts, in microseconds.
fn delays(stats: &MessageStats, now: Moment) -> [i64; 5] {
    let done = if stats.deliver_done.is_unset() {
        now
    } else {
        stats.deliver_done
    };
    let arrival = stats.incoming_arrival;
    let total = difference(done, arrival);
    let active = stats.active_arrival;
    if active.is_unset() {
        return [total, total, 0, 0, 0];
    }
    let a = difference(active, arrival);
    if stats.agent_handoff.is_unset() {
        return [total, a, difference(done, active), 0, 0];
    }
    let b = difference(stats.agent_handoff, active);
    if stats.conn_setup_done.is_unset() {
        return [total, a, b, 0, difference(done, stats.agent_handoff)];
    }
    let c = difference(stats.conn_setup_done, stats.agent_handoff);
    [total, a, b, c, difference(done, stats.conn_setup_done)]
}

fn difference(later: Moment, earlier: Moment) -> i64 {
    later
        .seconds
        .saturating_sub(earlier.seconds)
        .saturating_mul(1_000_000)
        .saturating_add(later.microseconds - earlier.microseconds)
}

/// A delay with two significant digits and at most `resolution` decimals; trailing zeros are dropped.
struct Delay {
    microseconds: i64,
    resolution: u32,
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SIGNIFICANT: u32 = 2;
        let value = u64::try_from(self.microseconds).unwrap_or(0);
        let resolution = self.resolution.min(6);
        // Decimals that keep two significant digits; the digit count of a value is the one before rounding.
        let whole_digits = if value >= 1_000_000 {
            (value / 1_000_000).ilog10() + 1
        } else {
            0
        };
        let decimals = if whole_digits >= 1 {
            SIGNIFICANT.saturating_sub(whole_digits)
        } else if value == 0 {
            0
        } else {
            // 0.0ddd: leading zeros after the point do not count.
            5 - value.ilog10() + SIGNIFICANT
        }
        .min(resolution);
        let unit = 10_u64.pow(6 - decimals);
        let rounded = (value + unit / 2) / unit;
        let scale = 10_u64.pow(decimals);
        let (whole, mut fraction) = (rounded / scale, rounded % scale);
        let mut width = decimals as usize;
        while width > 0 && fraction % 10 == 0 {
            fraction /= 10;
            width -= 1;
        }
        if width == 0 {
            write!(f, "{whole}")
        } else {
            write!(f, "{whole}.{fraction:0width$}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_have_two_significant_digits() {
        let cases: &[(i64, &str)] = &[
            (-5, "0"),
            (0, "0"),
            (4_000, "0"),
            (5_000, "0.01"),
            (14_900, "0.01"),
            (199_000, "0.2"),
            (996_000, "1"),
            (1_040_000, "1"),
            (1_050_000, "1.1"),
            (9_940_000, "9.9"),
            (9_960_000, "10"),
            (12_340_000, "12"),
            (99_600_000, "100"),
            (3_725_900_000, "3726"),
        ];
        for (microseconds, want) in cases {
            let got = Delay {
                microseconds: *microseconds,
                resolution: 2,
            }
            .to_string();
            assert_eq!(got, *want, "{microseconds} microseconds");
        }
    }

    #[test]
    fn line_leaves_out_what_is_unknown() {
        let at = |seconds, microseconds| Moment {
            seconds,
            microseconds,
        };
        let stats = MessageStats {
            incoming_arrival: at(100, 0),
            active_arrival: at(100, 50_000),
            agent_handoff: at(100, 70_000),
            ..MessageStats::default()
        };
        let line = StatusLine {
            recipient: "ok@disc.example".into(),
            original: None,
            relay: "none".into(),
            stats: &stats,
            now: at(100, 80_000),
            resolution: 2,
            dsn: "2.0.0".into(),
            status: "sent",
            reason: "silently".into(),
        };
        assert_eq!(
            line.to_string(),
            "to=<ok@disc.example>, relay=none, delay=0.08, delays=0.05/0.02/0/0.01, dsn=2.0.0, status=sent (silently)"
        );
    }
}
