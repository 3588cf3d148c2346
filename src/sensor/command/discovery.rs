//! What `doctor` says of the programs before they are run.

use super::run::Order;
use super::{Command, Config, Program, run};
use crate::sensor::{Discovery, Finding, Presence, Roots, Sensor};

/// Makes a sensor of each program. None is run: the start waits for nobody.
pub fn discover(roots: &Roots, config: &Config) -> Discovery {
    let mut discovery = Discovery::default();
    for program in &config.0 {
        let sensor: Box<dyn Sensor> = Box::new(Command::new(program, order(roots, program)));
        let subject = sensor.name().to_owned();
        discovery.findings.push(match run::look(program.program()) {
            Ok(()) => Finding {
                subject,
                state: Presence::Unasked,
                // Not its arguments, which may be anything.
                detail: program.program().display().to_string(),
                mend: String::new(),
            },
            Err(fault) => Finding {
                subject,
                state: Presence::Unreadable,
                detail: fault.to_string(),
                mend: fault.mend,
            },
        });
        // Also where the program is not there: it may be installed at any time.
        discovery.sensors.push(sensor);
    }
    discovery
}

fn order(roots: &Roots, program: &Program) -> Order {
    let named = |text: &String| roots.named(text);
    let variables = program.environment().iter();
    Order {
        program: program.program().to_owned(),
        arguments: program.arguments().iter().map(named).collect(),
        environment: variables.map(|(key, value)| (key.clone(), named(value))).collect(),
    }
}
