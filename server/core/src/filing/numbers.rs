//! Numbers as people write them.

/// A share in percent, such as "21.4 %", with at most `decimals` decimals.
pub(super) fn percent(share: f64, decimals: usize) -> String {
    let digits = format!("{:.decimals$}", share * 100.0);
    let short = if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        &digits
    };
    format!("{short} %")
}

/// Odds in words, such as "1,350 to 1". Rising with the logarithm, so that two of them compare as their values do.
pub(super) fn odds(log_odds: f64) -> String {
    match log_odds.exp() {
        odds if odds < 1.0 => "less than even".to_owned(),
        odds if odds < 9.95 => format!("{odds:.1} to 1"),
        odds if odds < 1e6 => format!("{} to 1", thousands(odds.round() as u64)),
        _ => "more than 1,000,000 to 1".to_owned(),
    }
}

/// A whole number, such as "1,250".
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odds_and_shares_read_as_people_write_them() {
        for (odds_value, words) in [
            (0.5, "less than even"),
            (1.0, "1.0 to 1"),
            (9.94, "9.9 to 1"),
            (9.96, "10 to 1"),
            (499.9999999, "500 to 1"),
            (1350.2, "1,350 to 1"),
            (2e6, "more than 1,000,000 to 1"),
            (f64::INFINITY, "more than 1,000,000 to 1"),
        ] {
            assert_eq!(odds(f64::ln(odds_value)), words);
        }
        assert_eq!(percent(0.005, 2), "0.5 %");
        assert_eq!(percent(1.0, 2), "100 %");
        assert_eq!(percent(0.0, 1), "0 %");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}
