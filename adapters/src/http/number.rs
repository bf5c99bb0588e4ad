//! The text of a JSON number, as an amount is read from it: digits, never a float.

use std::borrow::Cow;

/// The largest exponent that is written out; the amounts in bounds need less than half of it.
const MAX_EXPONENT: usize = 40;

/// `1.25e2` as `125`: some clients write every number with an exponent. What has none, or one
/// beyond the bound, stays as it is.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    expanded(text).map_or(Cow::Borrowed(text), Cow::Owned)
}

fn expanded(text: &str) -> Option<String> {
    let (mantissa, exponent) = text.split_once(['e', 'E'])?;
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let shift: isize = exponent.parse().ok()?;
    if shift.unsigned_abs() > MAX_EXPONENT {
        return None;
    }
    let zeros = "0".repeat(shift.unsigned_abs());
    let (whole, fraction) = if shift < 0 {
        (zeros + whole, fraction.to_owned())
    } else {
        (whole.to_owned(), fraction.to_owned() + &zeros)
    };
    let digits = whole.clone() + &fraction;
    let point = whole.len().checked_add_signed(shift)?;
    let (whole, fraction) = digits.split_at_checked(point)?;
    // What the shift has left over says nothing.
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(format!("{sign}{whole}{point}{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exponent_is_written_out_digit_by_digit() {
        for (text, expected) in [
            ("12.50", "12.50"),
            ("1e+2", "100"),
            ("1.25e+2", "125"),
            ("1.2345678e7", "12345678"),
            ("1.25E1", "12.5"),
            ("125e-2", "1.25"),
            ("5e-3", "0.005"),
            ("-1.5e+1", "-15"),
            ("0e+5", "0"),
            ("1e+400", "1e+400"),
            ("1e-400", "1e-400"),
            ("1e+99999999999999999999", "1e+99999999999999999999"),
            ("e", "e"),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
    }
}
