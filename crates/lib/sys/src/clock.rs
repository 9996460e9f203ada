//! Local time with its zone; the monotonic clock stays with [`std::time::Instant`].

use std::time::{SystemTime, UNIX_EPOCH};

/// Broken-down local time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalTime {
    /// Full year, e.g. 2026.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60.
    pub second: u8,
    /// Days since Sunday.
    pub weekday: u8,
    /// Seconds east of Greenwich.
    pub offset: i32,
    /// Zone abbreviation, e.g. `CET`.
    pub zone: String,
}

/// English month abbreviations as in logs and Date: headers.
pub const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
/// English weekday abbreviations, Sunday first.
pub const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

impl LocalTime {
    /// Abbreviated month name.
    pub fn month_name(&self) -> &'static str {
        MONTHS
            .get(usize::from(self.month).wrapping_sub(1))
            .unwrap_or(&"Jan")
    }
    /// Abbreviated weekday name.
    pub fn weekday_name(&self) -> &'static str {
        WEEKDAYS.get(usize::from(self.weekday)).unwrap_or(&"Sun")
    }
    /// Zone as in mail headers, e.g. `+0100`.
    pub fn numeric_zone(&self) -> String {
        let minutes = self.offset.unsigned_abs() / 60;
        let mut zone = String::with_capacity(5);
        zone.push(if self.offset < 0 { '-' } else { '+' });
        for number in [minutes / 60, minutes % 60] {
            push_two_digits(&mut zone, u8::try_from(number).unwrap_or(0), '0');
        }
        zone
    }
    /// Date as in mail headers: `Tue, 24 Nov 2026 13:16:53 +0100 (CET)`; the day is padded with a blank,
    /// as Postfix did up to 3.8.
    pub fn mail_date(&self) -> String {
        let mut date = String::with_capacity(48);
        date.push_str(self.weekday_name());
        date.push_str(", ");
        push_two_digits(&mut date, self.day, ' ');
        for part in [" ", self.month_name(), " ", &self.year.to_string()] {
            date.push_str(part);
        }
        for (separator, number) in [(' ', self.hour), (':', self.minute), (':', self.second)] {
            date.push(separator);
            push_two_digits(&mut date, number, '0');
        }
        for part in [" ", &self.numeric_zone(), " (", &self.zone, ")"] {
            date.push_str(part);
        }
        date
    }
    /// strftime(3) in the C locale, as far as file names need it; other conversions stay as they are.
    pub fn format(&self, template: &str) -> String {
        let mut out = String::new();
        let mut rest = template.chars();
        while let Some(character) = rest.next() {
            if character != '%' {
                out.push(character);
                continue;
            }
            match rest.next() {
                Some('Y') => out.push_str(&self.year.to_string()),
                Some('y') => out.push_str(&format!("{:02}", self.year % 100)),
                Some('m') => out.push_str(&format!("{:02}", self.month)),
                Some('b' | 'h') => out.push_str(self.month_name()),
                Some('d') => out.push_str(&format!("{:02}", self.day)),
                Some('e') => out.push_str(&format!("{:2}", self.day)),
                Some('a') => out.push_str(self.weekday_name()),
                Some('w') => out.push_str(&self.weekday.to_string()),
                Some('H') => out.push_str(&format!("{:02}", self.hour)),
                Some('M') => out.push_str(&format!("{:02}", self.minute)),
                Some('S') => out.push_str(&format!("{:02}", self.second)),
                Some('s') => out.push_str(&unix_time().to_string()),
                Some('z') => out.push_str(&self.numeric_zone()),
                Some('Z') => out.push_str(&self.zone),
                Some('F') => out.push_str(&self.format("%Y-%m-%d")),
                Some('T') => out.push_str(&self.format("%H:%M:%S")),
                Some('%') => out.push('%'),
                Some(other) => out.extend(['%', other]),
                None => out.push('%'),
            }
        }
        out
    }
}

/// Appends a number below 100, with `blank` for a first digit of 0.
fn push_two_digits(text: &mut String, number: u8, blank: char) {
    let digit = |value: u8| char::from(b'0' + value % 10);
    text.push(match number / 10 {
        0 => blank,
        tens => digit(tens),
    });
    text.push(digit(number));
}

/// Seconds since 1970.
pub fn unix_time() -> i64 {
    seconds(SystemTime::now())
}

/// Seconds since 1970 of a time; negative before.
pub fn seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    }
}

/// Local time of `seconds` since 1970. The zone file is read at the first call, which programs
/// therefore make before they enter a chroot jail.
pub fn local_time(seconds: i64) -> LocalTime {
    let time: libc::time_t = seconds;
    // SAFETY: an all-zero `tm` is valid: integers and a null zone pointer.
    let mut broken: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live local variables of the right types.
    let ok = unsafe { !libc::localtime_r(&raw const time, &raw mut broken).is_null() };
    let zone = if ok && !broken.tm_zone.is_null() {
        // SAFETY: localtime_r sets tm_zone to a NUL-terminated string that lives until the next
        // change of TZ, which does not happen before it is copied here.
        unsafe { std::ffi::CStr::from_ptr(broken.tm_zone) }
            .to_string_lossy()
            .into_owned()
    } else {
        "UTC".to_owned()
    };
    let small = |value: i32| u8::try_from(value).unwrap_or(0);
    LocalTime {
        year: broken.tm_year.saturating_add(1900),
        month: small(broken.tm_mon + 1),
        day: small(broken.tm_mday),
        hour: small(broken.tm_hour),
        minute: small(broken.tm_min),
        second: small(broken.tm_sec),
        weekday: small(broken.tm_wday),
        offset: i32::try_from(broken.tm_gmtoff).unwrap_or(0),
        zone,
    }
}

/// The local time now.
pub fn local_now() -> LocalTime {
    local_time(unix_time())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_formatted_for_file_names() {
        let time = local_time(1_700_000_000);
        let text = time.format("%Y%m%d-%H%M%S%%%q");
        assert!(
            text.starts_with("2023111") && text.ends_with("%%q"),
            "{text}"
        );
        assert_eq!(text.len(), 18);
    }

    #[test]
    fn mail_date_has_blank_padded_day_and_zone_comment() {
        let time = LocalTime {
            year: 2026,
            month: 3,
            day: 1,
            hour: 5,
            minute: 6,
            second: 7,
            weekday: 0,
            offset: -12600,
            zone: "NST".into(),
        };
        assert_eq!(time.mail_date(), "Sun,  1 Mar 2026 05:06:07 -0330 (NST)");
    }
}
