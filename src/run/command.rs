//! `gramwatt run`: one command from before its start to the report of it.

use super::api::{Begin, Done, Node, Run, State};
use super::child::{Child, Ended, Event, Signals};
use super::client::{Client, Error};
use super::greener::{self, Waiting};
use super::own::Own;
use super::pattern::{self, Pattern, Told};
use super::predict::Prediction;
use super::pump::Pumps;
use super::spawn::Plan;
use super::terminal::Screen;
use super::text::{self, By};
use crate::clock::{self, Moment};
use crate::config::Config;
use crate::file;
use crate::units::Grams;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use nix::sys::signal::Signal;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// So often the figures are asked for while it goes on.
const BEAT: Duration = Duration::from_secs(1);

/// So often it is looked whether there is progress.
const LOOK: Duration = Duration::from_millis(200);

/// Longest that the last figures are waited for.
const SETTLING: Duration = Duration::from_secs(12);

/// Longest that an exporter is waited for which is away, or busy, when the run begins, and when it is over: one that
/// starts anew is back in some seconds.
const BEGINNING: Duration = Duration::from_secs(2);
const RETURNING: Duration = Duration::from_secs(10);

/// Longest that an answer is waited for while the command goes on, whose signals wait as long; and of an exporter that
/// gave none the last time.
const ANSWER: Duration = Duration::from_secs(2);
const ANSWER_AGAIN: Duration = Duration::from_millis(500);

/// Where an exporter's socket is that has no configuration of its own: root's, and the one that systemd opens.
const USUAL: [&str; 2] = ["/run/gramwatt/runs.sock", "/run/gramwatt-runs.sock"];

/// Largest progress file.
const LARGEST: u64 = 64 << 10;

/// What is said of a command that cannot be begun: the codes of a shell.
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;

/// Who is to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The exporter that runs here, if there is one.
    Auto,
    /// It, and nobody else.
    Exporter,
    /// This process.
    Itself,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Task {
    /// What the run is called.
    pub name: String,
    /// The command and its arguments: at least one.
    pub command: Vec<OsString>,
    /// What finds progress in its output.
    pub pattern: Option<Pattern>,
    /// Where it writes its progress.
    pub progress_file: Option<PathBuf>,
    /// Units of work in all, where nobody else says so.
    pub progress_total: Option<f64>,
    /// The most that it should emit.
    pub budget: Option<Grams>,
    /// Whether the start is held, and how.
    pub waiting: Option<Waiting>,
    /// Whether it is ended as soon as its total is predicted.
    pub stop_after_prediction: bool,
    /// Whether what it leaves behind is waited for.
    pub wait_for_all: bool,
    /// Who is to measure.
    pub measure: Measure,
    /// The exporter's socket.
    pub socket: Option<PathBuf>,
    /// Where the figures are written as JSON.
    pub report: Option<PathBuf>,
    /// Whether nothing is said of it.
    pub quiet: bool,
}

/// Runs it; the exit code is the command's.
///
/// # Errors
/// Where it cannot be measured or begun: nothing has been started then.
pub fn run(task: &Task, config: &Config) -> Result<u8, String> {
    let failed = |error: io::Error| format!("cannot watch a command: {error}");
    let signals = Signals::take().map_err(failed)?;
    if let Some(path) = &task.report {
        writable(path)?;
    }
    let (mut client, mut own, mut by) = measured(task, config)?;
    let screen = Arc::new(Screen::new(!task.quiet && io::stderr().is_terminal()));
    if let Some(waiting) = &task.waiting
        && let Some(signal) = greener::hold(&client, waiting, &signals, &screen)?
    {
        return Ok(Ended::By(signal as i32).code());
    }
    // Whoever asked for an end while it was prepared wants nothing begun.
    if let Some(signal) = signals.end(Duration::ZERO).map_err(failed)? {
        return Ok(Ended::By(signal as i32).code());
    }
    Child::adopt().map_err(failed)?;
    let begin = Begin {
        name: task.name.clone(),
        pid: None,
        children_alone: true,
        budget_grams: task.budget.map(|grams| grams.0),
    };
    let mut begun = enter(&client, &begin);
    if let Err(Error::Unable(why)) = &begun
        && task.measure == Measure::Auto
        && own.is_none()
    {
        screen.say(&format!("gramwatt: {why}; so this process measures"));
        (client, own, by) = itself(config)?;
        begun = enter(&client, &begin);
    }
    let (began, run) = begun.map_err(|error| error.to_string())?;
    client.limit(ANSWER);
    let mut session = Session {
        task,
        client: &mut client,
        signals: &signals,
        screen: &screen,
        run,
        warned: false,
        away: false,
        trouble: None,
        stopped: false,
        at: clock::now(),
    };
    let ended = session.go()?;
    let (run, measured) = session.close(ended);
    let stopped = session.stopped;
    screen.clear();
    let after = client.node().unwrap_or_else(|_| began.clone());
    if !task.quiet {
        let ended = Some(ended).filter(|_| !stopped);
        screen.say(text::report(&run, ended, measured, [&began, &after], &by).trim_end());
    }
    if let Some(path) = &task.report
        && let Err(error) = write(path, &run, measured, &after)
    {
        // The command has ended as it has, whatever becomes of its figures.
        screen.say(&format!("gramwatt: {error}"));
    }
    drop(own);
    Ok(if stopped { 0 } else { ended.code() })
}

/// Begins the run, with whoever measures but may be busy: the machine as it was then, and the run.
fn enter(client: &Client, begin: &Begin) -> Result<(Node, Run), Error> {
    let until = clock::now().awake + BEGINNING;
    loop {
        let node = client.node()?;
        match client.begin(begin) {
            Err(Error::Unable(_)) if clock::now().awake < until => std::thread::sleep(LOOK),
            answer => return Ok((node, answer?)),
        }
    }
}

/// Who measures: how it is asked, what ends with us, and what it is called.
type Measurer = (Client, Option<Own>, By);

/// Finds who measures.
fn measured(task: &Task, config: &Config) -> Result<Measurer, String> {
    let client = |path: &Path| Client::new(path).map_err(|error| error.to_string());
    let mut reasons = Vec::new();
    if task.measure != Measure::Itself {
        for path in sockets(task, config) {
            let client = client(&path)?;
            match client.node() {
                Ok(node) if node.sees_you => {
                    return Ok((client, None, By::Exporter(path.display().to_string())));
                }
                Ok(_) => reasons.push(format!(
                    "{}: the exporter there does not see this process: it needs the host's (hostPID)",
                    path.display()
                )),
                Err(error) => reasons.push(error.to_string()),
            }
        }
    }
    if task.measure == Measure::Exporter {
        return Err(format!(
            "no exporter answers here ({}): start gramwatt, give its socket with --socket, or measure with --by=itself",
            reasons.join("; ")
        ));
    }
    itself(config)
}

/// Measures in this process.
fn itself(config: &Config) -> Result<Measurer, String> {
    let own = Own::start(config)?;
    let client = Client::new(own.socket()).map_err(|error| error.to_string())?;
    Ok((client, Some(own), By::Itself))
}

/// Where an exporter's socket may be.
fn sockets(task: &Task, config: &Config) -> Vec<PathBuf> {
    if let Some(path) = &task.socket {
        return vec![path.clone()];
    }
    let mut all: Vec<PathBuf> = config.run_socket().into_iter().collect();
    if config.runs.socket.is_none() && config.state.directory.is_none() {
        all.extend(USUAL.map(PathBuf::from));
    }
    all
}

/// A command that goes on.
struct Session<'a> {
    task: &'a Task,
    client: &'a mut Client,
    signals: &'a Signals,
    screen: &'a Arc<Screen>,
    run: Run,
    /// Whether it was said that the budget will not do.
    warned: bool,
    /// Whether nobody measures now, which was said.
    away: bool,
    /// Why progress was not taken, which was said.
    trouble: Option<String>,
    /// Whether it was ended because its total is predicted.
    stopped: bool,
    /// When the command began.
    at: Moment,
}

impl Session<'_> {
    /// Begins the command, and goes on until its end.
    fn go(&mut self) -> Result<Ended, String> {
        let plan = Plan {
            command: &self.task.command,
            environment: &[
                ("GRAMWATT_SOCKET", self.client.path().as_os_str()),
                ("GRAMWATT_RUN", OsStr::new(&self.run.id)),
            ],
            blocked: self.signals.before(),
        };
        let live = !self.task.quiet && io::stderr().is_terminal();
        let begun = Pumps::begin(&plan, self.task.pattern.as_ref(), live, self.screen);
        let (child, mut pumps) = match begun {
            Ok(begun) => begun,
            Err(error) => return Ok(self.not_begun(&error)),
        };
        let mut child = Child::new(child).ok_or("the command has no number")?;
        let mut next = clock::now().awake + BEAT;
        loop {
            let wait = next.saturating_sub(clock::now().awake).min(LOOK);
            let event = self.signals.next(wait);
            match event.map_err(|error| format!("cannot wait: {error}"))? {
                Event::Signal(Signal::SIGCHLD, _) => child.reap(),
                Event::Signal(Signal::SIGWINCH, _) => {
                    if pumps.resize() {
                        // It has heard of the new size before its terminal had it.
                        child.send(Signal::SIGWINCH);
                    }
                }
                // A terminal sends to all that are in front.
                Event::Signal(signal, from_another) if from_another => child.send(signal),
                Event::Signal(..) | Event::Quiet => {}
            }
            if let Some(ended) = child.ended()
                && (!self.task.wait_for_all || child.is_over())
            {
                pumps.end(|time| !matches!(self.signals.end(time), Ok(None)));
                self.tell(pumps.told());
                return Ok(ended);
            }
            self.tell(pumps.told());
            if clock::now().awake >= next {
                next = clock::now().awake.max(next + BEAT);
                self.beat(&child);
            }
        }
    }

    fn not_begun(&self, error: &io::Error) -> Ended {
        let name = self.task.command.first().cloned().unwrap_or_default();
        self.screen
            .say(&format!("gramwatt: {}: {error}", name.to_string_lossy()));
        Ended::Code(match error.kind() {
            io::ErrorKind::NotFound => NOT_FOUND,
            _ => NOT_EXECUTABLE,
        })
    }

    /// Tells of progress.
    fn tell(&mut self, told: Option<Told>) {
        let Some(told) = told else { return };
        let done = Done {
            done: told.done,
            total: told.total,
        };
        match self.client.progress(&self.run.id, done) {
            Err(Error::Refused(error)) => {
                if !self.away && self.trouble.as_ref() != Some(&error) {
                    self.screen
                        .say(&format!("gramwatt: progress is not taken: {error}"));
                    self.trouble = Some(error);
                }
            }
            answer => self.hear(answer),
        }
    }

    /// What is due every second.
    fn beat(&mut self, child: &Child) {
        if let Some(path) = &self.task.progress_file {
            // It may not be there yet, or be half-written.
            let text = file::read(path, LARGEST).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let told = pattern::written(&text, self.task.progress_total).ok();
            let is_new = told.is_some_and(|told| {
                self.run
                    .progress
                    .is_none_or(|last| (last.done, last.total) != (told.done, told.total))
            });
            self.tell(told.filter(|_| is_new));
        }
        let answer = self.client.run(&self.run.id);
        self.hear(answer);
        let (now, zone) = (Timestamp::now(), TimeZone::system());
        if let Some(told) = self.run.prediction {
            self.warn(&told);
            if self.task.stop_after_prediction && !self.stopped {
                self.stopped = true;
                let said = text::predicted(&self.run, &told, now, &zone);
                self.screen
                    .say(&format!("gramwatt: predicted for all of it: {said}"));
                let node = self.client.node().ok();
                let offer =
                    node.and_then(|node| greener::offer(&node, told.seconds.expected, now, &zone));
                offer.iter().for_each(|offer| self.screen.say(offer));
                child.send(Signal::SIGTERM);
            }
        }
        self.screen.draw(&text::live(&self.run, now, &zone));
    }

    /// Says, once, that the budget will not do.
    fn warn(&mut self, told: &Prediction) {
        let (Some(budget), Some(grams)) = (self.run.budget_grams, told.grams) else {
            return;
        };
        if !self.warned && grams.expected.0 > budget {
            self.warned = true;
            let said =
                |grams: f64| crate::output::grams(Grams(grams)).map(|figure| figure.to_string());
            self.screen.say(&format!(
                "gramwatt: over budget: {} expected, {} at the least, of {}",
                said(grams.expected.0).unwrap_or_default(),
                said(grams.low.0).unwrap_or_default(),
                said(budget).unwrap_or_default(),
            ));
        }
    }

    /// Takes an answer; where there is none, that is said once.
    fn hear(&mut self, answer: Result<Run, Error>) {
        match answer {
            Ok(run) => {
                self.run = run;
                if std::mem::take(&mut self.away) {
                    self.client.limit(ANSWER);
                    self.screen.say("gramwatt: measured again");
                }
            }
            Err(_) if self.away => {}
            Err(error) => {
                self.away = true;
                self.client.limit(ANSWER_AGAIN);
                self.screen.say(&format!(
                    "gramwatt: not measured from here on: {error}; the command goes on"
                ));
            }
        }
    }

    /// Says that it is over, and waits for the last figures. Returns them, and of how many seconds they are: of fewer
    /// than the run's where nobody measured its end.
    fn close(&mut self, ended: Ended) -> (Run, f64) {
        let now = clock::now();
        let code = if self.stopped { 0 } else { ended.code() };
        self.end(code.into(), now.awake + RETURNING);
        let until = clock::now().awake + SETTLING;
        while !self.run.settled && !self.away && self.run.state != State::Running {
            if clock::now().awake >= until || self.is_asked_to_end() {
                break;
            }
            let answer = self.client.run(&self.run.id);
            self.hear(answer);
        }
        let mut run = self.run.clone();
        let measured = run.seconds;
        if matches!(run.state, State::Running | State::Lost) {
            // We know better how it went on.
            run.state = match code {
                0 => State::Succeeded,
                _ => State::Failed,
            };
            run.ended = Some(now.wall.to_string());
            run.seconds = now.boot.saturating_sub(self.at.boot).as_secs_f64();
            (run.processes, run.watts, run.settled) = (0, None, false);
        }
        (run, measured)
    }

    /// Says that it is over, again and again to an exporter that is away: the report then says so.
    fn end(&mut self, code: i32, until: Duration) {
        loop {
            let answer = match self.client.end(&self.run.id, code) {
                // It may have heard us before, and we not its answer.
                Err(Error::Refused(_)) => self.client.run(&self.run.id),
                answer => answer,
            };
            if matches!(answer, Ok(_) | Err(Error::Refused(_))) {
                return self.hear(answer);
            }
            self.away = true;
            self.client.limit(ANSWER_AGAIN);
            if clock::now().awake >= until || self.is_asked_to_end() {
                return;
            }
        }
    }

    /// Whether a signal asks us to end, for which we wait a little.
    fn is_asked_to_end(&self) -> bool {
        !matches!(self.signals.end(LOOK), Ok(None))
    }
}

/// Whether a report can be written there, before anything is begun.
fn writable(path: &Path) -> Result<(), String> {
    if path.is_dir() {
        return Err(format!(
            "--report: {}: is a folder, and no file",
            path.display()
        ));
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(folder, access)
        .map_err(|error| format!("--report: {}: {error}", folder.display()))
}

/// Writes the figures, whole or not at all.
fn write(path: &Path, run: &Run, measured: f64, node: &Node) -> Result<(), String> {
    let page = serde_json::json!({"run": run, "measured_seconds": measured, "node": node});
    let written = file::replace(path, format!("{page:#}\n").as_bytes());
    written.map_err(|error| format!("--report: {}: {error}", path.display()))
}
