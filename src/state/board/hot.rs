//! The order of the front page.
//!
//! A post's place is given by one number that only a like changes:
//!
//! > hot_ms = wall clock when it was posted + 6.6 h × log₂(1 + likes)
//!
//! So posts sink at one pace, and every doubling of (1 + likes) is worth 6.6 hours: ten times the likes
//! are about 22 hours. No time is read when somebody looks; rows stand in the order until somebody
//! likes one. All of it is in integers, so that every node of whatever make gets the same.

/// What a doubling is worth, in ms: 6.6 hours.
const DOUBLING_MS: u64 = 23_760_000;
/// Bits of a logarithm behind the point.
const FRACTION_BITS: u32 = 16;

/// Where a post stands on the front page: the higher, the nearer the top. In ms since 1970, since a post
/// that nobody likes stands where it was posted.
#[must_use]
pub fn hot_ms(wall_ms: u64, likes: u64) -> u64 {
    let bonus_ms = (DOUBLING_MS * log2(likes.saturating_add(1))) >> FRACTION_BITS;
    wall_ms.saturating_add(bonus_ms)
}

/// The binary logarithm of a number that is not 0, in units of 2⁻¹⁶, rounded down.
///
/// Bit by bit: squaring a number in [1, 2) doubles its logarithm, so the next bit says whether the
/// square is 2 or more.
fn log2(number: u64) -> u64 {
    let whole = number.ilog2();
    // In [1, 2), with 63 bits behind the point.
    let mut mantissa = number << (63 - whole);
    let mut log = u64::from(whole);
    for _ in 0..FRACTION_BITS {
        let square = u128::from(mantissa) * u128::from(mantissa);
        // Of 126 bits behind the point 63 stay; one less when it is halved.
        let is_two = square >> 127;
        log = (log << 1) | u64::from(is_two == 1);
        mantissa = u64::try_from(square >> (63 + is_two)).expect("it is below 2 again");
    }
    log
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn doublings_are_worth_6_6_hours_each() {
        assert_eq!(hot_ms(1_000, 0), 1_000);
        for (likes, hours) in [(1, 6.6), (3, 13.2), (7, 19.8), (1023, 66.0)] {
            let ms = (hours * 3_600_000.0) as u64;
            assert_eq!(hot_ms(5, likes), 5 + ms, "{likes} likes");
        }
        // Ten times the likes: 21.9 h.
        let worth = hot_ms(0, 999_999) - hot_ms(0, 99_999);
        assert!(worth.abs_diff(78_928_500) < 1_000, "{worth}");
    }

    #[test]
    fn numbers_at_the_edges_do() {
        assert_eq!(log2(1), 0);
        assert_eq!(log2(u64::MAX), (64 << 16) - 1);
        assert_eq!(hot_ms(u64::MAX, u64::MAX), u64::MAX);
        assert_eq!(hot_ms(0, u64::MAX), (DOUBLING_MS * ((64 << 16) - 1)) >> 16);
    }

    /// Known to all digits: these must never change, for rows stand in the order that they give.
    #[test]
    fn some_that_were_computed_elsewhere() {
        // floor(log2(n) * 65536), with 50 digits.
        for (number, log) in [(3, 103_872), (5, 152_169), (10, 217_705), (1_000_001, 1_306_235)] {
            assert_eq!(log2(number), log, "log2 of {number}");
        }
    }

    proptest! {
        #[test]
        fn it_is_the_logarithm_and_more_likes_are_never_worth_less(number in 1u64..) {
            let exact = (number as f64).log2() * 65_536.0;
            prop_assert!((log2(number) as f64 - exact).abs() <= 1.5);
            prop_assert!(log2(number) <= log2(number.saturating_add(1)));
        }

        #[test]
        fn few_likes_are_told_apart(likes in 0u64..20_000) {
            prop_assert!(hot_ms(0, likes) < hot_ms(0, likes + 1));
        }
    }
}
