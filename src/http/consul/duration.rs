//! Durations as Go writes them, such as `10s`, `1h30m` or `1.5ms`.

/// Nanoseconds of each unit; the micro sign comes in two forms.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// The nanoseconds of a duration, signed; `None` when it is none, or longer than 292 years.
pub(super) fn parse(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    if digits == "0" {
        return Some(0);
    }
    let (mut sum, mut rest) = part(digits)?;
    while !rest.is_empty() {
        let (nanos, tail) = part(rest)?;
        sum = nanos.checked_add(sum)?;
        rest = tail;
    }
    Some(sign * sum)
}

/// One number with its unit, and what follows.
fn part(text: &str) -> Option<(i64, &str)> {
    let number = text.find(|it: char| !it.is_ascii_digit() && it != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(number);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let length = rest.find(|it: char| it.is_ascii_digit() || it == '.').unwrap_or(rest.len());
    let (name, rest) = rest.split_at(length);
    let unit = UNITS.iter().find(|(unit, _)| *unit == name)?.1;
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let nanos = whole.checked_mul(unit)?.checked_add(fraction_of(fraction, unit))?;
    Some((i64::try_from(nanos).ok()?, rest))
}

/// The digits behind the point, as nanoseconds, cut off below one.
fn fraction_of(digits: &str, unit: u64) -> u64 {
    let (mut number, mut scale) = (0_u128, 1_u128);
    // No unit is so large that a sixteenth digit would count.
    for digit in digits.bytes().take(15) {
        number = number * 10 + u128::from(digit - b'0');
        scale *= 10;
    }
    let nanos = number * u128::from(unit) / scale;
    u64::try_from(nanos).expect("it is less than a unit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, nanos) in [
            ("10s", 10_000_000_000),
            ("20ms", 20_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1h10m10s", 4_210_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5m", 30_000_000_000),
            ("1.s", 1_000_000_000),
            ("-2us", -2_000),
            ("+3µs", 3_000),
            ("7ns", 7),
            ("0", 0),
            ("-0", 0),
            ("0s", 0),
            ("1.9ns", 1),
            ("2562047h", 9_223_369_200_000_000_000),
        ] {
            assert_eq!(parse(text), Some(nanos), "{text}");
        }
        for text in [
            "",
            "-",
            "10",
            "s",
            ".s",
            "1.2.3s",
            "10 s",
            "1d",
            "1h1",
            "2562048h",
            "1e3s",
            "99999999999999999999s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
