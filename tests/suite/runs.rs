//! Logs of runs: when each unit of work ended, and the energy used by then. Made from a seed, or read from
//! `tests/fixtures/runs`.

use crate::tools::root;
use gramwatt::run::predict::Mark;
use gramwatt::units::Joules;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// What a run told, to its end.
pub struct Log {
    pub total: f64,
    pub marks: Vec<Mark>,
}

impl Log {
    fn path(name: &str) -> PathBuf {
        root().join(format!("tests/fixtures/runs/{name}.csv"))
    }

    pub fn read(name: &str) -> Self {
        let path = Self::path(name);
        let mut reader =
            csv::Reader::from_path(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let rows = reader.deserialize::<(f64, f64, f64)>();
        let marks: Vec<Mark> = rows
            .map(|row| {
                let (seconds, done, joules) = row.unwrap();
                Mark {
                    at: Duration::from_secs_f64(seconds),
                    done,
                    joules: Joules(joules),
                }
            })
            .collect();
        let total = marks.last().unwrap().done;
        Self { total, marks }
    }

    pub fn write(&self, name: &str) {
        let mut text = "seconds,done,joules\n".to_owned();
        for mark in &self.marks {
            let (seconds, done, joules) = (mark.at.as_secs_f64(), mark.done, mark.joules.0);
            writeln!(text, "{seconds:.1},{done},{joules:.0}").unwrap();
        }
        fs::create_dir_all(Self::path(name).parent().unwrap()).unwrap();
        fs::write(Self::path(name), text).unwrap();
    }

    /// The moment from which on at least this share of the work is done: the number of marks told by then.
    pub fn at(&self, share: f64) -> usize {
        let before = |mark: &Mark| mark.done < share * self.total - 1e-9;
        self.marks
            .iter()
            .rposition(before)
            .map_or(1, |last| last + 2)
    }

    /// Work as `recipe` says: what each unit takes, and which goes on from a checkpoint.
    pub fn cook(random: &mut Random, recipe: &Recipe) -> Self {
        let mut marks = Vec::new();
        let (mut at, mut joules, mut swing) = (0.0, 0.0, 0.0);
        let until_crash = 1..=recipe.restart.map_or(recipe.units, |(crash, _)| crash);
        let after = recipe
            .restart
            .into_iter()
            .flat_map(|(_, from)| from + 1..=recipe.units);
        for (place, unit) in until_crash.chain(after).enumerate() {
            let place = f64::from(u32::try_from(place).unwrap());
            swing = recipe.memory * swing
                + (1.0 - recipe.memory * recipe.memory).sqrt() * random.normal();
            let warm = recipe.warm_up.0 * (-place / recipe.warm_up.1).exp();
            let evaluation = match recipe.evaluation {
                Some((every, share)) if unit % every == 0 => share,
                _ => 0.0,
            };
            let shape = 1.0 + recipe.slowing * place + warm + evaluation;
            let busy = recipe.seconds * shape * (recipe.noise * random.normal()).exp();
            let burst = if random.uniform() < recipe.bursts.0 {
                recipe.bursts.1
            } else {
                1.0
            };
            at += busy;
            joules += busy * recipe.watts * burst * (recipe.unrest * swing).exp();
            if let Some((_, units)) = recipe.stall.filter(|(stalled, _)| *stalled == unit) {
                at += units * recipe.seconds;
                joules += units * recipe.seconds * recipe.watts * 0.3;
            }
            marks.push(Mark {
                at: Duration::from_secs_f64(at),
                done: f64::from(unit),
                joules: Joules(joules),
            });
        }
        let total = f64::from(recipe.units);
        Self { total, marks }
    }
}

/// How a run goes.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub units: u32,
    /// Of a unit.
    pub seconds: f64,
    pub watts: f64,
    /// Of the time that units take, as a share.
    pub noise: f64,
    /// Of the power, as a share, and how much of it lives on in the next unit.
    pub unrest: f64,
    pub memory: f64,
    /// How much longer the first unit takes, as a share, and the units after which a third of that is left.
    pub warm_up: (f64, f64),
    /// How much longer each unit takes than the one before, as a share of the first.
    pub slowing: f64,
    /// Every how many units there is an evaluation, and what it takes as a share of a unit.
    pub evaluation: Option<(u32, f64)>,
    /// In which unit the run stalls, and for how many units.
    pub stall: Option<(u32, f64)>,
    /// After which unit it crashes, and after which its checkpoint is.
    pub restart: Option<(u32, u32)>,
    /// Share of the units in which power is so many times as high.
    pub bursts: (f64, f64),
}

impl Recipe {
    /// A hundred units of twelve minutes at 2 kW, with 3 % noise.
    pub fn steady() -> Self {
        Self {
            units: 100,
            seconds: 720.0,
            watts: 2000.0,
            noise: 0.03,
            unrest: 0.03,
            memory: 0.0,
            warm_up: (0.0, 0.01),
            slowing: 0.0,
            evaluation: None,
            stall: None,
            restart: None,
            bursts: (0.0, 1.0),
        }
    }

    /// One of any kind: what happens, and when, and how much.
    pub fn any(random: &mut Random) -> (&'static str, Self) {
        let recipe = Self {
            units: 20 + random.below(80),
            seconds: 30.0 * 20_f64.powf(random.uniform()),
            noise: 0.01 + 0.09 * random.uniform(),
            unrest: 0.01 + 0.09 * random.uniform(),
            memory: 0.5 * random.uniform(),
            ..Self::steady()
        };
        let place = |random: &mut Random| 2 + random.below(recipe.units - 3);
        match random.below(7) {
            0 => ("steady", recipe),
            1 => {
                let warm_up = (0.2 + 2.0 * random.uniform(), 0.01 + 3.0 * random.uniform());
                ("warm-up", Self { warm_up, ..recipe })
            }
            2 => {
                let slowing = 2.0 * random.uniform() / f64::from(recipe.units);
                ("slowing", Self { slowing, ..recipe })
            }
            3 => {
                let evaluation = Some((2 + random.below(8), 0.2 + 2.0 * random.uniform()));
                (
                    "evaluated",
                    Self {
                        evaluation,
                        ..recipe
                    },
                )
            }
            4 => {
                let stall = Some((place(random), 1.0 + 9.0 * random.uniform()));
                ("stalled", Self { stall, ..recipe })
            }
            5 => {
                let crash = place(random);
                let restart = Some((crash, random.below(crash)));
                ("restarted", Self { restart, ..recipe })
            }
            _ => {
                let bursts = (0.1 + 0.3 * random.uniform(), 1.2 + random.uniform());
                ("bursty", Self { bursts, ..recipe })
            }
        }
    }
}

/// Numbers from a seed: splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1.
    pub fn uniform(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap()) / f64::from(u32::MAX)
    }

    pub fn below(&mut self, most: u32) -> u32 {
        u32::try_from(self.next() % u64::from(most)).unwrap()
    }

    /// Of mean 0 and deviation 1, near enough: twelve uniform ones.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}
