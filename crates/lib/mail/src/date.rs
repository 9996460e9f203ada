//! Dates of RFC 5322 headers, from numbers; this module has no clock and no time zone.

/// Days since 1970-01-01 and seconds of the day, as civil date and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CivilTime {
    /// Full year.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 is Sunday.
    pub weekday: u8,
}

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

impl CivilTime {
    /// From seconds since the epoch, local offset already added.
    pub fn from_unix(seconds: i64) -> Self {
        let days = seconds.div_euclid(86400);
        let rest = seconds.rem_euclid(86400);
        // Days are counted from 0000-03-01, so that leap days end a year; eras have 400 years.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 {
            shifted_month + 3
        } else {
            shifted_month - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self {
            year,
            month: small(month),
            day: small(day),
            hour: small(rest / 3600),
            minute: small(rest / 60 % 60),
            second: small(rest % 60),
            weekday: small((days + 4).rem_euclid(7)),
        }
    }
}

/// The values above are all below 100.
fn small(value: i64) -> u8 {
    u8::try_from(value).unwrap_or_default()
}

/// How a day below 10 is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Day {
    /// After a blank, as up to Postfix 3.8.
    Blank,
    /// After a zero.
    Zero,
}

/// `Sun, 22 Nov 2026 13:19:24 +0000 (UTC)`: `offset` is seconds east of Greenwich, `zone` the
/// local time zone's name.
pub fn rfc822(unix_seconds: i64, offset: i32, zone: &str, day: Day) -> String {
    let t = CivilTime::from_unix(unix_seconds + i64::from(offset));
    let sign = if offset < 0 { '-' } else { '+' };
    let minutes = offset.unsigned_abs() / 60;
    let weekday = WEEKDAYS
        .get(usize::from(t.weekday))
        .copied()
        .unwrap_or_default();
    let month = MONTHS
        .get(usize::from(t.month.saturating_sub(1)))
        .copied()
        .unwrap_or_default();
    let day = match day {
        Day::Blank => format!("{:2}", t.day),
        Day::Zero => format!("{:02}", t.day),
    };
    let mut out = format!(
        "{weekday}, {day} {month} {} {:02}:{:02}:{:02} {sign}{:02}{:02}",
        t.year,
        t.hour,
        t.minute,
        t.second,
        minutes / 60,
        minutes % 60
    );
    if !zone.is_empty() {
        out.push_str(&format!(" ({zone})"));
    }
    out
}

/// `20261122131114` of a time in UTC: the first part of generated Message-Ids.
pub fn compact_utc(unix_seconds: i64) -> String {
    let t = CivilTime::from_unix(unix_seconds);
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}",
        t.year, t.month, t.day, t.hour, t.minute, t.second
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_look_as_in_headers() {
        assert_eq!(
            rfc822(1_795_353_564, 0, "UTC", Day::Blank),
            "Sun, 22 Nov 2026 13:19:24 +0000 (UTC)"
        );
        assert_eq!(
            rfc822(1_795_353_564, -12600, "NST", Day::Blank),
            "Sun, 22 Nov 2026 09:49:24 -0330 (NST)"
        );
        assert_eq!(
            rfc822(951_782_400, 3600, "CET", Day::Blank),
            "Tue, 29 Feb 2000 01:00:00 +0100 (CET)"
        );
        assert_eq!(
            rfc822(0, 0, "", Day::Blank),
            "Thu,  1 Jan 1970 00:00:00 +0000"
        );
        assert_eq!(
            rfc822(0, 0, "", Day::Zero),
            "Thu, 01 Jan 1970 00:00:00 +0000"
        );
        assert_eq!(compact_utc(1_795_353_074), "20261122131114");
    }
}
