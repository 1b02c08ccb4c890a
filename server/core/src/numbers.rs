//! Numbers as people write them.

/// A share in percent, such as "21.4 %", with at most `decimals` decimals.
pub fn percent(share: f64, decimals: usize) -> String {
    let digits = format!("{:.decimals$}", share * 100.0);
    let short = if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        &digits
    };
    format!("{short} %")
}

/// A likelihood ratio for people: `1,350 to 1`, `1 to 12`, or a power of ten where it is larger than people can picture.
pub fn ratio(log_e: f64) -> String {
    let (magnitude, swap) = (log_e.abs(), log_e < 0.0);
    let number = if magnitude > 1e7f64.ln() {
        format!("10^{:.0}", magnitude / std::f64::consts::LN_10)
    } else {
        let value = magnitude.exp();
        if value < 9.95 {
            let text = format!("{value:.1}");
            text.strip_suffix(".0").unwrap_or(&text).to_owned()
        } else {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 9 and 10^7"
            )]
            thousands(value.round() as u64)
        }
    };
    if swap && number != "1" {
        format!("1 to {number}")
    } else {
        format!("{number} to 1")
    }
}

/// A count with its thousands set apart, such as `1,350`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun, such as `1 environment` or `1,350 environments`.
pub fn counted(n: u64, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_as_people_say_them() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(counted(1, "environment"), "1 environment");
        assert_eq!(counted(1350, "environment"), "1,350 environments");
        assert_eq!(ratio(0.0), "1 to 1");
        assert_eq!(ratio(1350f64.ln()), "1,350 to 1");
        assert_eq!(ratio(-(12f64.ln())), "1 to 12");
        assert_eq!(ratio(50.0), "10^22 to 1");
    }

    #[test]
    fn shares_are_told_without_needless_digits() {
        assert_eq!(percent(0.005, 2), "0.5 %");
        assert_eq!(percent(1.0, 2), "100 %");
        assert_eq!(percent(0.0, 1), "0 %");
    }
}
