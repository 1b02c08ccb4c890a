//! Delta debugging: a 1-minimal failing subset (Zeller and Hildebrandt 2002, the `ddmin` algorithm).

/// The smallest part of `changes` that `fails`, such that leaving out any one of it does not fail.
///
/// `changes` itself is taken to fail. `fails` says whether a part does, or refuses to say; its refusal is
/// returned, so that the caller can find out and start again.
pub(super) fn ddmin<E>(
    changes: &[usize],
    mut fails: impl FnMut(&[usize]) -> Result<bool, E>,
) -> Result<Vec<usize>, E> {
    let mut left = changes.to_vec();
    let mut parts = 2;
    while left.len() >= 2 {
        let chunk = left.len().div_ceil(parts);
        let pieces: Vec<Vec<usize>> = left.chunks(chunk).map(<[usize]>::to_vec).collect();
        if let Some(piece) = first(&pieces, &mut fails)? {
            left = piece;
            parts = 2;
            continue;
        }
        let without = |piece: &Vec<usize>| {
            let kept = left.iter().filter(|change| !piece.contains(change));
            kept.copied().collect::<Vec<_>>()
        };
        // With two pieces the complements are the pieces.
        let complements: Vec<_> = match pieces.len() {
            2 => Vec::new(),
            _ => pieces.iter().map(without).collect(),
        };
        if let Some(complement) = first(&complements, &mut fails)? {
            left = complement;
            parts = (parts - 1).max(2);
            continue;
        }
        if chunk == 1 {
            break;
        }
        parts = (parts * 2).min(left.len());
    }
    // A single change is left in only if it is needed.
    if left.len() == 1 && fails(&[])? {
        left.clear();
    }
    Ok(left)
}

fn first<E>(
    parts: &[Vec<usize>],
    fails: &mut impl FnMut(&[usize]) -> Result<bool, E>,
) -> Result<Option<Vec<usize>>, E> {
    for part in parts {
        if fails(part)? {
            return Ok(Some(part.clone()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn minimise(count: usize, fails: impl Fn(&[usize]) -> bool) -> (Vec<usize>, usize) {
        let changes: Vec<_> = (0..count).collect();
        let mut asked = 0;
        let found = ddmin(&changes, |part| {
            asked += 1;
            Ok::<_, Infallible>(fails(part))
        });
        let Ok(found) = found;
        (found, asked)
    }

    #[test]
    fn every_pair_of_twenty_is_found() {
        for a in 0..20 {
            for b in 0..a {
                let (found, _) = minimise(20, |part| part.contains(&a) && part.contains(&b));
                assert_eq!(found, [b, a]);
            }
        }
    }

    #[test]
    fn one_of_many_takes_about_two_questions_for_each_halving() {
        let (found, asked) = minimise(256, |part| part.contains(&200));
        assert_eq!(found, [200]);
        assert!(asked <= 17, "{asked}");
    }

    #[test]
    fn what_needs_nothing_is_empty() {
        assert_eq!(minimise(5, |_| true).0, Vec::<usize>::new());
        assert_eq!(minimise(1, |_| true).0, Vec::<usize>::new());
    }

    #[test]
    fn without_any_one_of_the_result_it_does_not_fail() {
        // Fails with 3 and at least two of 5, 6, 7: not one minimal set but several.
        let fails = |part: &[usize]| {
            part.contains(&3) && [5, 6, 7].iter().filter(|c| part.contains(c)).count() >= 2
        };
        let (found, _) = minimise(12, fails);
        assert!(fails(&found));
        for change in &found {
            let less: Vec<_> = found.iter().filter(|c| *c != change).copied().collect();
            assert!(!fails(&less), "{found:?}");
        }
    }

    #[test]
    fn a_refusal_to_say_is_passed_on() {
        let refused = ddmin(&[1, 2, 3], |part| Err::<bool, _>(part.to_vec()));
        assert_eq!(refused, Err(vec![1, 2]));
    }
}
