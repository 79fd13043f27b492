//! What sessions may have together: limits, what counts to them, and what is said where one is reached.

use std::fmt;

/// Memory is told in mebibytes, which the legacy files call MB.
const MEBIBYTE: u64 = 1 << 20;

/// What a limit is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Live sessions.
    Sessions,
    /// The processors that are promised to them, in thousandths.
    Cpus,
    /// The memory that is promised to them, bytes.
    Memory,
}

/// Whose sessions count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// This session alone.
    Session,
    /// All sessions of its user.
    User,
    /// The sessions of all members of this group.
    Group(String),
    /// Everybody's.
    Everybody,
}

/// A limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The name it is set by.
    pub setting: &'static str,
    /// The section it is set in: `[@staff]`.
    pub section: String,
    /// Whose sessions count.
    pub over: Over,
    /// What it is on.
    pub quantity: Quantity,
    /// The most that they may have together, in the quantity's unit.
    pub most: u64,
}

/// What one session counts, or several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Usage {
    /// How many they are.
    pub sessions: u64,
    /// Their processors, in thousandths.
    pub cpus: u64,
    /// Their memory, bytes.
    pub memory: u64,
}

/// What a user may have, and what a session has that names nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Allowance {
    /// The limits that a session of theirs has to keep.
    pub limits: Vec<Limit>,
    /// Processors of a session that names none; 0 where none are promised.
    pub default_cpus: f64,
    /// Memory of a session that names none, bytes; 0 where none is promised.
    pub default_memory: u64,
    /// The resource profiles that may be chosen.
    pub resources: Vec<ResourceProfile>,
    /// Whether nothing else may be.
    pub only_resources: bool,
}

/// Processors and memory under a name.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceProfile {
    /// Its name in requests.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// Processors; 0 leaves what is usual.
    pub cpus: f64,
    /// Memory, bytes; 0 leaves what is usual.
    pub memory: u64,
}

/// A choice of resources that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongChoice {
    /// `profile`, `cpus` or `memory`.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl Allowance {
    /// What a session is promised for which a profile is named, or so many processors (0 for none) and so much memory.
    pub fn choose(&self, profile: Option<&str>, cpus: f64, memory: u64) -> Result<(f64, u64), WrongChoice> {
        let names = || self.resources.iter().map(|known| known.name.as_str()).collect::<Vec<_>>().join(", ");
        let named = if cpus > 0.0 { Some("cpus") } else { (memory > 0).then_some("memory") };
        let wrong = |field, problem| Err(WrongChoice { field, problem });
        match (profile, named) {
            (None, Some(field)) if self.only_resources => {
                wrong(field, format!("cannot be chosen by itself; name a profile: {}", names()))
            }
            (None, _) => Ok((cpus, memory)),
            (Some(name), Some(field)) => {
                wrong(field, format!("is what the profile {name} says; leave one of them out"))
            }
            (Some(name), None) => match self.resources.iter().find(|known| known.name == name) {
                Some(profile) => Ok((profile.cpus, profile.memory)),
                None if self.resources.is_empty() => wrong("profile", "there are no profiles to choose".to_owned()),
                None => wrong("profile", format!("there is no such profile to choose; there are: {}", names())),
            },
        }
    }

    /// The most of something that a session could have were it the only one; none where there is no limit.
    pub fn most(&self, quantity: Quantity) -> Option<u64> {
        self.limits.iter().filter(|limit| limit.quantity == quantity).map(|limit| limit.most).min()
    }
}

/// A limit that one session more would exceed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitReached {
    /// Which.
    pub limit: Limit,
    /// Whose session it is.
    pub user: String,
    /// What counts to it now.
    pub present: u64,
    /// What the session would add.
    pub asked: u64,
}

impl Usage {
    /// What one session counts.
    pub fn of(cpus: f64, memory: u64) -> Self {
        Self { sessions: 1, cpus: thousandths(cpus), memory }
    }

    /// With another's beside it.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            sessions: self.sessions.saturating_add(other.sessions),
            cpus: self.cpus.saturating_add(other.cpus),
            memory: self.memory.saturating_add(other.memory),
        }
    }

    /// So much of it.
    pub fn amount(&self, quantity: Quantity) -> u64 {
        match quantity {
            Quantity::Sessions => self.sessions,
            Quantity::Cpus => self.cpus,
            Quantity::Memory => self.memory,
        }
    }
}

/// Processors as whole thousandths, so that sums are exact. A part of one counts as one.
pub fn thousandths(cpus: f64) -> u64 {
    // What was meant as a whole number of them may be off by the last digit.
    let scaled = (cpus * 1000.0 - 1e-6).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, and no number is 0 as nothing is"
    )]
    let whole = scaled as u64;
    whole
}

impl Limit {
    /// An error where `asked` beside `present` exceeds it. What asks for nothing exceeds nothing.
    pub fn check(&self, user: &str, present: u64, asked: u64) -> Result<(), LimitReached> {
        if asked == 0 || present.saturating_add(asked) <= self.most {
            return Ok(());
        }
        Err(LimitReached { limit: self.clone(), user: user.to_owned(), present, asked })
    }
}

impl LimitReached {
    /// Whether it could be met by nothing but asking for less: it would be exceeded with no other session there.
    pub fn is_too_much_alone(&self) -> bool {
        self.asked > self.limit.most
    }

    /// Whether the user's own sessions alone count to it.
    pub fn is_own(&self) -> bool {
        matches!(self.limit.over, Over::Session | Over::User)
    }

    fn amount(&self, amount: u64) -> Amount {
        Amount(amount, self.limit.quantity)
    }
}

/// An amount for people.
struct Amount(u64, Quantity);

impl Amount {
    /// As a setting has it.
    fn number(&self) -> f64 {
        let Self(amount, quantity) = *self;
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        match quantity {
            Quantity::Sessions => amount as f64,
            Quantity::Cpus => amount as f64 / 1000.0,
            Quantity::Memory => (amount as f64 / MEBIBYTE as f64 * 10.0).round() / 10.0,
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number();
        let plural = if self.0 == 1 { "" } else { "s" };
        match self.1 {
            Quantity::Sessions => write!(f, "{number} session{plural}"),
            Quantity::Cpus => write!(f, "{number} processor{}", if self.0 == 1000 { "" } else { "s" }),
            Quantity::Memory => write!(f, "{number} MB of memory"),
        }
    }
}

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit: Limit { setting, section, over, quantity, most }, user, present, .. } = self;
        let set = format!("{setting}={} under {section}", self.amount(*most).number());
        let (has, may) = match over {
            Over::Session => {
                let asked = self.amount(self.asked);
                return write!(f, "this session asks for {asked}, and {set} allows no session more; ask for less");
            }
            Over::User => (format!("{user} has"), user.clone()),
            Over::Group(group) => (format!("the members of {group} have"), format!("the members of {group} together")),
            Over::Everybody => ("all users have".to_owned(), "all users together".to_owned()),
        };
        let asked = self.amount(self.asked);
        if self.is_too_much_alone() {
            return match quantity {
                Quantity::Sessions => write!(f, "{set} allows {may} no session"),
                _ => write!(f, "this session asks for {asked}, and {set} allows {may} no more; ask for less"),
            };
        }
        let present_amount = self.amount(*present);
        write!(f, "{has} {present_amount} now")?;
        if *quantity != Quantity::Sessions {
            write!(f, ", this session asks for {asked}")?;
        }
        write!(f, ", and {set} allows {may} no more")?;
        let left = most.saturating_sub(*present);
        if *quantity != Quantity::Sessions && left > 0 {
            write!(f, "; ask for at most {}", self.amount(left))?;
        }
        f.write_str(match over {
            Over::Session | Over::User => "; end or suspend a session, or wait until one has ended",
            Over::Group(_) | Over::Everybody => "; try again once a session has ended",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(over: Over, quantity: Quantity, most: u64) -> Limit {
        let setting = match quantity {
            Quantity::Sessions => "session-limit",
            Quantity::Cpus => "max-cpus",
            Quantity::Memory => "max-memory",
        };
        Limit { setting, section: "[@staff]".to_owned(), over, quantity, most }
    }

    #[test]
    fn sums_of_parts_of_processors_are_exact() {
        let three = (0..3).fold(Usage::default(), |sum, _| sum.and(Usage::of(0.1, 0)));
        assert_eq!(three, Usage { sessions: 3, cpus: 300, memory: 0 });
        assert_eq!([0.0, 0.000_1, 0.5, 2.0, f64::NAN, -1.0].map(thousandths), [0, 1, 500, 2000, 0, 0]);
    }

    #[test]
    fn what_fits_exactly_is_allowed_and_what_asks_for_nothing_exceeds_nothing() {
        let limit = limit(Over::User, Quantity::Cpus, 2000);
        assert_eq!(limit.check("ada", 1500, 500), Ok(()));
        assert_eq!(limit.check("ada", 9000, 0), Ok(()));
        assert_eq!(limit.check("ada", 1500, 501).unwrap_err().present, 1500);
        assert!(limit.check("ada", u64::MAX, u64::MAX).is_err());
    }

    #[test]
    fn a_refusal_says_which_limit_whose_what_counts_and_what_to_do() {
        let told = |over, quantity, most, present, asked| {
            limit(over, quantity, most).check("ada", present, asked).unwrap_err().to_string()
        };
        assert_eq!(
            told(Over::User, Quantity::Sessions, 3, 3, 1),
            "ada has 3 sessions now, and session-limit=3 under [@staff] allows ada no more; end or suspend a session, or \
             wait until one has ended"
        );
        assert_eq!(
            told(Over::User, Quantity::Sessions, 0, 0, 1),
            "session-limit=0 under [@staff] allows ada no session"
        );
        assert_eq!(
            told(Over::User, Quantity::Cpus, 8000, 6500, 4000),
            "ada has 6.5 processors now, this session asks for 4 processors, and max-cpus=8 under [@staff] allows ada no \
             more; ask for at most 1.5 processors; end or suspend a session, or wait until one has ended"
        );
        assert_eq!(
            told(Over::User, Quantity::Cpus, 1000, 0, 4000),
            "this session asks for 4 processors, and max-cpus=1 under [@staff] allows ada no more; ask for less"
        );
        assert_eq!(
            told(Over::Group("staff".to_owned()), Quantity::Memory, 4 << 30, 4 << 30, 1 << 30),
            "the members of staff have 4096 MB of memory now, this session asks for 1024 MB of memory, and \
             max-memory=4096 under [@staff] allows the members of staff together no more; try again once a session has \
             ended"
        );
        assert_eq!(
            told(Over::Everybody, Quantity::Sessions, 1, 1, 1),
            "all users have 1 session now, and session-limit=1 under [@staff] allows all users together no more; try \
             again once a session has ended"
        );
        assert_eq!(
            told(Over::Session, Quantity::Memory, 1 << 30, 0, 3 << 29),
            "this session asks for 1536 MB of memory, and max-memory=1024 under [@staff] allows no session more; ask for \
             less"
        );
    }

    #[test]
    fn a_profile_is_chosen_instead_of_processors_and_memory() {
        let small = ResourceProfile { name: "small".to_owned(), title: "Small".to_owned(), cpus: 0.5, memory: 7 };
        let mut allowance = Allowance { resources: vec![small], ..Allowance::default() };
        assert_eq!(allowance.choose(None, 2.0, 3), Ok((2.0, 3)));
        assert_eq!(allowance.choose(Some("small"), 0.0, 0), Ok((0.5, 7)));
        let field = |choice: Result<_, WrongChoice>| choice.unwrap_err().field;
        assert_eq!(field(allowance.choose(Some("small"), 0.0, 3)), "memory");
        let unknown = allowance.choose(Some("huge"), 0.0, 0).unwrap_err();
        assert_eq!((unknown.field, unknown.problem.ends_with("there are: small")), ("profile", true));
        allowance.only_resources = true;
        assert_eq!(field(allowance.choose(None, 2.0, 0)), "cpus");
        assert_eq!(allowance.choose(None, 0.0, 0), Ok((0.0, 0)));
    }
}
