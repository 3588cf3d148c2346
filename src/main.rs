//! The program: parse, trace, dispatch; the only exit.

use anyhow::{Context, anyhow};
use gramwatt::app::{self, AppError};
use gramwatt::cli::estimate::Form;
use gramwatt::cli::report::Report as Asked;
use gramwatt::cli::{Cli, Output, Verb};
use gramwatt::config::Config;
use gramwatt::relay::{self, Plan};
use gramwatt::report::{self, prometheus::Server};
use gramwatt::run::command;
use gramwatt::setup::Setup;
use gramwatt::web::listen::Sockets;
use gramwatt::{clock, config, data, doctor, estimate, exposition, file, log, once, probe, web};
use std::future::Future;
use std::io::{self, Write};
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Ends when the system says that it is enough.
type Shutdown = Pin<Box<dyn Future<Output = ()>>>;

/// Bad input, told before anything starts.
const BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => Arc::new(cli),
        Err(error) => {
            // Where nobody listens there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(BAD_INPUT));
        }
    };
    match dispatch(&cli) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "gramwatt: {}", told(&error));
            ExitCode::from(BAD_INPUT)
        }
    }
}

/// An error and its causes, each said once: some errors of ours tell their cause in their own words.
fn told(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |told, cause| {
        let cause = cause.to_string();
        match told.as_str() {
            "" => cause,
            said if said.contains(&cause) => told,
            said => format!("{said}: {cause}"),
        }
    })
}

fn dispatch(cli: &Arc<Cli>) -> anyhow::Result<ExitCode> {
    match &cli.command {
        Some(Verb::ConfigReference) => print(&config::reference()),
        Some(Verb::Metrics) => print(&exposition::reference()),
        Some(Verb::CheckConfig { file }) => check(file),
        Some(Verb::Doctor) => {
            let config = cli.config()?;
            let setup = Setup::new(&config).map_err(|reason| anyhow!(reason))?;
            let diagnosis = doctor::examine(&config, setup);
            print(&diagnosis.text)?;
            Ok(if diagnosis.healthy {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Some(Verb::Once { seconds, format }) => {
            let setup = Setup::new(&cli.config()?).map_err(|reason| anyhow!(reason))?;
            let snapshot = once::measure(setup, Duration::from_secs_f64(*seconds));
            print(&match format {
                Output::Table => once::table(&snapshot),
                Output::Openmetrics => exposition::openmetrics(&snapshot),
                Output::Json => once::json(&snapshot),
            })
        }
        Some(Verb::Probe { url, wait }) => {
            match probe::patiently(url, wait.map_or(Duration::ZERO, Duration::from_secs_f64)) {
                Ok(said) => print(&said),
                Err(reason) => {
                    let _ = writeln!(io::stderr(), "gramwatt: {reason}");
                    Ok(ExitCode::FAILURE)
                }
            }
        }
        Some(Verb::Run(args)) => {
            let task = args.task().map_err(|reason| anyhow!(reason))?;
            let code = command::run(&task, &cli.config()?).map_err(|reason| anyhow!(reason))?;
            Ok(ExitCode::from(code))
        }
        Some(Verb::Estimate(flags)) => {
            let question = flags.question().map_err(|reason| anyhow!(reason))?;
            let answer = estimate::answer(question);
            print(&match flags.format {
                Form::Table => estimate::table(&answer, flags.all),
                Form::Json => estimate::json(&answer),
                Form::Csv => estimate::csv(&answer),
                Form::Latex => estimate::latex(&answer),
                Form::Bibtex => estimate::bibtex(&answer),
            })
        }
        Some(Verb::Report(asked)) => reported(asked),
        Some(Verb::Zones { text }) => {
            let text = text.as_deref().unwrap_or_default();
            let found = data::search(text);
            if found.is_empty() {
                return Err(anyhow!(
                    "no bundled zone or cloud region is like {text:?}: gramwatt zones lists all"
                ));
            }
            print(&found)
        }
        Some(Verb::Grid { zones, once: true }) => {
            let plan = Plan::new(&cli.config()?, zones).map_err(|reason| anyhow!(reason))?;
            let (table, well) = relay::once(plan).map_err(|reason| anyhow!(reason))?;
            print(&table)?;
            Ok(if well {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Some(Verb::Grid { zones, .. }) => {
            let config = cli.config()?;
            let plan = Plan::new(&config, zones).map_err(|reason| anyhow!(reason))?;
            serving(&config, async |sockets, shutdown| {
                relay::run(&config, plan, sockets.web, shutdown).await
            })
        }
        None => serve(cli),
    }
}

/// Asks a Prometheus, and prints or writes what a time has cost.
fn reported(asked: &Asked) -> anyhow::Result<ExitCode> {
    let order = asked.order(clock::now().wall);
    let order = order.map_err(|reason| anyhow!(reason))?;
    let mut server = Server::new(&asked.access())?;
    let report = report::make(&mut server, &order)?;
    let text = report::render(&report, asked.format(), asked.top());
    let Some(path) = asked.output() else {
        return print(&text);
    };
    file::replace(path, text.as_bytes()).with_context(|| path.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Whether a configuration is right, for whichever machine it is.
fn check(file: &Path) -> anyhow::Result<ExitCode> {
    let config = Config::read(file)?
        .check()
        .map_err(|error| error.of(file))?;
    Setup::check(&config).map_err(|reason| anyhow!("{}: {reason}", file.display()))?;
    let mut said = String::new();
    if let Some(web) = &config.web.config_file {
        for warning in web::access::check(web)? {
            said += &format!("{}: warning: {warning}\n", web.display());
        }
    }
    print(&format!("{said}{}: right\n", file.display()))
}

/// Writes to standard output; a reader that has gone is no error.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn serve(cli: &Arc<Cli>) -> anyhow::Result<ExitCode> {
    let config = cli.config()?;
    let again = Arc::clone(cli);
    serving(&config, async |sockets, shutdown| {
        app::run(config.clone(), move || again.config(), sockets, shutdown).await
    })
}

/// Listens as the configuration says, and serves until the system says that it is enough.
fn serving(
    config: &Config,
    run: impl AsyncFnOnce(Sockets, Shutdown) -> Result<(), AppError>,
) -> anyhow::Result<ExitCode> {
    log::start(&config.log)?;
    if let Some(file) = &config.web.config_file {
        web::access::check(file)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(async {
        let sockets = web::bind(&config.web.listen_address, config.web.systemd_socket)?;
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be caught")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be caught")?;
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        run(sockets, Box::pin(shutdown)).await?;
        Ok(ExitCode::SUCCESS)
    });
    // A thread that waits for hardware that never answers does not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}
