//! Domain conversion for the `domain_to_ascii` and `domain_to_utf8` functions (RFC 3492, RFC 5890).
//! Mail addresses are not converted here.

/// The A-label form; `None` when a label cannot be converted.
pub(crate) fn to_ascii(domain: &str) -> Option<String> {
    convert(domain, |label| {
        if label.is_ascii() {
            return Some(label.to_string());
        }
        let encoded = encode(&label.to_lowercase())?;
        (encoded.len() + 4 <= 63).then(|| format!("xn--{encoded}"))
    })
}

/// The U-label form; `None` when a label cannot be converted.
pub(crate) fn to_unicode(domain: &str) -> Option<String> {
    convert(domain, |label| match label.get(..4) {
        Some(prefix) if prefix.eq_ignore_ascii_case("xn--") => decode(&label[4..]),
        _ => Some(label.to_string()),
    })
}

fn convert(domain: &str, label: impl Fn(&str) -> Option<String>) -> Option<String> {
    let labels: Option<Vec<String>> = domain.split('.').map(label).collect();
    labels.map(|labels| labels.join("."))
}

const BASE: u32 = 36;

/// Adapts the bias after one delta (RFC 3492 §6.1).
const fn adapt(delta: u32, points: u32, is_first: bool) -> u32 {
    let mut delta = if is_first { delta / 700 } else { delta / 2 };
    delta += delta / points;
    let mut k = 0;
    while delta > 455 {
        delta /= BASE - 1;
        k += BASE;
    }
    k + 36 * delta / (delta + 38)
}

/// The threshold of the digit at position `k`.
fn threshold(k: u32, bias: u32) -> u32 {
    k.saturating_sub(bias).clamp(1, 26)
}

fn digit(value: u32) -> Option<char> {
    char::from_digit(if value < 26 { value + 10 } else { value - 26 }, 36)
}

fn encode(label: &str) -> Option<String> {
    let mut out: String = label.chars().filter(char::is_ascii).collect();
    let basic = u32::try_from(out.len()).ok()?;
    let total = u32::try_from(label.chars().count()).ok()?;
    if basic > 0 {
        out.push('-');
    }
    let (mut next, mut delta, mut bias, mut handled) = (128_u32, 0_u32, 72_u32, basic);
    while handled < total {
        let smallest = label
            .chars()
            .map(u32::from)
            .filter(|point| *point >= next)
            .min()?;
        delta = delta.checked_add((smallest - next).checked_mul(handled + 1)?)?;
        next = smallest;
        for point in label.chars().map(u32::from) {
            if point < next {
                delta = delta.checked_add(1)?;
            }
            if point == next {
                let (mut rest, mut k) = (delta, BASE);
                loop {
                    let t = threshold(k, bias);
                    if rest < t {
                        break;
                    }
                    out.push(digit(t + (rest - t) % (BASE - t))?);
                    rest = (rest - t) / (BASE - t);
                    k += BASE;
                }
                out.push(digit(rest)?);
                bias = adapt(delta, handled + 1, handled == basic);
                delta = 0;
                handled += 1;
            }
        }
        delta = delta.checked_add(1)?;
        next += 1;
    }
    Some(out)
}

fn decode(encoded: &str) -> Option<String> {
    let (basic, extended) = encoded.rsplit_once('-').unwrap_or(("", encoded));
    if !encoded.is_ascii() {
        return None;
    }
    let mut out: Vec<char> = basic.chars().collect();
    let (mut next, mut at, mut bias) = (128_u32, 0_u32, 72_u32);
    let mut digits = extended.chars();
    while !digits.as_str().is_empty() {
        let (old, mut weight, mut k) = (at, 1_u32, BASE);
        loop {
            let value = digits.next()?.to_digit(36)?;
            let value = if value < 10 { value + 26 } else { value - 10 };
            at = at.checked_add(value.checked_mul(weight)?)?;
            let t = threshold(k, bias);
            if value < t {
                break;
            }
            weight = weight.checked_mul(BASE - t)?;
            k += BASE;
        }
        let length = u32::try_from(out.len()).ok()? + 1;
        bias = adapt(at - old, length, old == 0);
        next = next.checked_add(at / length)?;
        at %= length;
        out.insert(usize::try_from(at).ok()?, char::from_u32(next)?);
        at += 1;
    }
    Some(out.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_convert_both_ways() {
        for (unicode, ascii) in [
            ("bücher.example", "xn--bcher-kva.example"),
            ("münchen.de", "xn--mnchen-3ya.de"),
            ("例え.jp", "xn--r8jz45g.jp"),
            ("plain.org", "plain.org"),
        ] {
            assert_eq!(to_ascii(unicode).as_deref(), Some(ascii));
            assert_eq!(to_unicode(ascii).as_deref(), Some(unicode));
        }
        assert_eq!(to_unicode("xn--99999999"), None);
    }
}
