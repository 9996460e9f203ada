//! How the concurrency window of a destination reacts to success and failure.

/// By what the constant is divided.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Divisor {
    Constant,
    Concurrency,
    SquareRoot,
}

/// A `…_destination_concurrency_{positive,negative}_feedback` value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Feedback {
    base: f64,
    divisor: Divisor,
}

impl Feedback {
    /// A constant.
    pub(crate) const ONE: Self = Self {
        base: 1.0,
        divisor: Divisor::Constant,
    };

    /// Reads `number`, `number / number`, `number / concurrency` or `number / sqrt_concurrency`;
    /// `None` when the text is something else or the number is not in 0..=1.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (number, divisor) = match text.split_once('/') {
            Some((number, divisor)) => (number, Some(divisor.trim())),
            None => (text, None),
        };
        let mut base: f64 = number.trim().parse().ok()?;
        let divisor = match divisor {
            None => Divisor::Constant,
            Some("concurrency") => Divisor::Concurrency,
            Some("sqrt_concurrency") => Divisor::SquareRoot,
            Some(number) => {
                base /= number.parse::<f64>().ok()?;
                Divisor::Constant
            }
        };
        (0.0..=1.0)
            .contains(&base)
            .then_some(Self { base, divisor })
    }

    /// The step for this window.
    pub(crate) fn at(&self, window: i32) -> f64 {
        match self.divisor {
            Divisor::Constant => self.base,
            Divisor::Concurrency => self.base / f64::from(window.max(1)),
            Divisor::SquareRoot => self.base / f64::from(window.max(1)).sqrt(),
        }
    }
}

/// The parameters of one transport.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowParams {
    /// Upper limit, 0 for none.
    pub(crate) limit: i32,
    /// Start value.
    pub(crate) initial: i32,
    pub(crate) positive: Feedback,
    pub(crate) negative: Feedback,
    /// Pseudo-cohorts of failures after which the destination is dead; 0 for never.
    pub(crate) cohort_limit: f64,
}

/// Deliveries that may run at a time to one destination.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Window {
    pub(crate) size: i32,
    pub(crate) success: f64,
    pub(crate) failure: f64,
    pub(crate) fail_cohorts: f64,
}

impl Window {
    pub(crate) fn new(params: &WindowParams) -> Self {
        Self {
            size: params.initial,
            success: 0.0,
            failure: 0.0,
            fail_cohorts: 0.0,
        }
    }

    /// The destination was thought dead and is alive.
    pub(crate) fn reset(&mut self, params: &WindowParams, busy: i32) {
        *self = Self::new(params);
        if busy > 0 {
            self.size = busy;
        }
    }

    /// A delivery without trouble on the way to the site; `busy` counts it.
    pub(crate) fn succeed(&mut self, params: &WindowParams, busy: i32) {
        self.fail_cohorts = 0.0;
        let room = params.limit == 0 || params.limit > self.size;
        if !room || self.size >= busy + params.initial {
            return;
        }
        let step = params.positive.at(self.size);
        self.success += step;
        // A step of 0 never gets here twice; the loop ends as success shrinks by 1 each time.
        while self.success + step / 2.0 >= 1.0 {
            self.size += 1;
            self.success -= 1.0;
            self.failure = 0.0;
        }
        if params.limit > 0 {
            self.size = self.size.min(params.limit);
        }
    }

    /// A delivery failed for a reason of the site; true when the site counts as dead now.
    pub(crate) fn fail(&mut self, params: &WindowParams) -> bool {
        self.fail_cohorts += 1.0 / f64::from(self.size.max(1));
        if params.cohort_limit > 0.0 && self.fail_cohorts >= params.cohort_limit {
            return true;
        }
        let step = params.negative.at(self.size);
        self.failure -= step;
        while self.failure - step / 2.0 < 0.0 && step > 0.0 {
            self.size -= 1;
            self.success = 0.0;
            self.failure += 1.0;
        }
        self.size = self.size.max(1);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feedback_values_are_numbers_with_an_optional_divisor() {
        let cases: &[(&str, Option<f64>)] = &[
            ("1", Some(1.0)),
            ("0.5", Some(0.5)),
            ("1/2", Some(0.5)),
            ("1 / concurrency", Some(0.25)),
            ("1/sqrt_concurrency", Some(0.5)),
            ("2", None),
            ("-1", None),
            ("x", None),
            ("1/x", None),
            ("1/0", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(Feedback::parse(text).map(|f| f.at(4)), *want, "{text:?}");
        }
    }

    fn params() -> WindowParams {
        WindowParams {
            limit: 20,
            initial: 5,
            positive: Feedback::ONE,
            negative: Feedback::ONE,
            cohort_limit: 1.0,
        }
    }

    #[test]
    fn the_window_grows_by_one_per_success_while_it_is_used() {
        let params = params();
        let mut window = Window::new(&params);
        window.succeed(&params, 5);
        assert_eq!(window.size, 6);
        window.succeed(&params, 1);
        assert_eq!(window.size, 6);
        for _ in 0..50 {
            window.succeed(&params, 30);
        }
        assert_eq!(window.size, 20);
    }

    #[test]
    fn one_full_cohort_of_failures_makes_the_site_dead() {
        let params = params();
        let mut window = Window::new(&params);
        let mut failures = 0;
        while !window.fail(&params) {
            failures += 1;
            assert!(window.size >= 1);
            assert!(failures < 100);
        }
        // The window is 5, 3 and 2: 1/5 + 1/3 + 1/2 passes 1 at the third failure.
        assert_eq!(failures, 2);
        let never = WindowParams {
            cohort_limit: 0.0,
            ..params
        };
        let mut window = Window::new(&never);
        assert!((0..100).all(|_| !window.fail(&never)));
        assert_eq!(window.size, 1);
        window.reset(&never, 3);
        assert_eq!(window.size, 3);
    }
}
