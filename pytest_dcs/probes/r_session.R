# Does what R has to do for a notebook: start, load packages, serve by Rserve, install a package.
#
# Runs inside the container, started as the platform starts its own script: packages of R itself
# only, R 3.6's functions. Each line of stdout that is a JSON object is the whole report as it
# stands, so the last one counts; what else prints there, such as a profile, is no report.

STAGES <- c("r-session", "r-packages", "rserve", "r-install")

# The platform's own arguments. The first is the port that Rserve gets.
ARGUMENTS <- c("1100", "None")

# What notebooks cannot do without, and what is to be loaded where the image has it.
NEEDED <- "htmltools"
WELCOME <- c("hwriter", "hwriterPlus", "TeachingDemos")

SERVER <- c("library(Rserve)", "run.Rserve(port = commandArgs(TRUE)[1])")

# Lets the server run in the background, and writes its log, its process and its exit status. Where
# it is killed it leaves its own folder for temporary files.
SERVE <- paste(
    "TMPDIR=\"$0\" R --slave --no-restore -f \"$0/server.R\"",
    "--args", paste(ARGUMENTS, collapse = " "),
    "</dev/null >\"$0/log\" 2>&1 & echo $! >\"$0/pid\"; wait $!; echo $? >\"$0/status\""
)

# The protocol of https://www.rforge.net/Rserve/dev.html: what the platform's driver speaks.
GREETING <- 32
EVALUATE <- 3L
ANSWERED <- 0x10001L
LOGIN <- 65L
TEXT <- 4L
NUMBERS <- 33L

PACKAGE <- list(
    DESCRIPTION = c(
        "Package: dcsprobe", "Version: 1.0", "Title: Probe", "Description: A probe.",
        "License: Apache License 2.0", "Author: Nobody", "Maintainer: Nobody <nobody@example.com>"
    ),
    NAMESPACE = "export(answer)",
    "R/answer.R" = "answer <- function() 6 * 7"
)

TOLD_LINES <- 4

# Why each stage is left out that is, one a line, each by its name. `pytest_dcs/r.py` writes it.
left_out <- local({
    pairs <- strsplit(strsplit(Sys.getenv("PYTEST_DCS_R_LEFT_OUT"), "\n")[[1]], "\t")
    structure(vapply(pairs, `[`, "", 2), names = vapply(pairs, `[`, "", 1))
})
seconds <- as.numeric(Sys.getenv("PYTEST_DCS_R_SECONDS", "30"))

report <- sapply(
    STAGES,
    function(name) list(name = name, outcome = "not-run", detail = "", seconds = 0),
    simplify = FALSE
)
version <- paste(R.version$major, R.version$minor, sep = ".")

# Returns a text as JSON has it, whatever its encoding is.
quoted <- function(text) {
    text <- iconv(paste(text, collapse = "\n"), "", "UTF-8", sub = "byte")
    for (pair in list(c("\\", "\\\\"), c("\"", "\\\""), c("\n", "\\n"), c("\t", " "))) {
        text <- gsub(pair[1], pair[2], text, fixed = TRUE, useBytes = TRUE)
    }
    paste0("\"", gsub("[\001-\037]", "", text, useBytes = TRUE), "\"")
}

# Prints the report as it stands, on a line of its own.
write_report <- function(complete = FALSE) {
    stages <- vapply(report, function(stage) {
        sprintf(
            "{\"name\": %s, \"outcome\": %s, \"detail\": %s, \"seconds\": %.3f}",
            quoted(stage$name), quoted(stage$outcome), quoted(stage$detail), stage$seconds
        )
    }, "")
    cat(sprintf(
        "\n{\"version\": 1, \"complete\": %s, \"r\": %s, \"left_out\": [%s], \"stages\": [%s]}\n",
        if (complete) "true" else "false", quoted(version),
        paste(vapply(names(left_out), quoted, ""), collapse = ", "),
        paste(stages, collapse = ", ")
    ))
    flush(stdout())
}

# Runs one stage and notes how it went.
run <- function(name, stage) {
    if (name %in% names(left_out)) {
        report[[name]]$detail <<- left_out[[name]]
        return(invisible())
    }
    report[[name]]$outcome <<- "running"
    write_report()
    started <- Sys.time()
    failure <- tryCatch({
        stage()
        NULL
    }, error = conditionMessage)
    report[[name]]$outcome <<- if (is.null(failure)) "passed" else "failed"
    report[[name]]$detail <<- if (is.null(failure)) "" else failure
    report[[name]]$seconds <<- as.numeric(difftime(Sys.time(), started, units = "secs"))
}

# What the start script hands over must arrive.
start <- function() {
    found <- commandArgs(TRUE)
    if (!identical(found, ARGUMENTS)) {
        stop("R was started with the arguments ", paste(ARGUMENTS, collapse = " "), " and got ",
             if (length(found)) paste(found, collapse = " ") else "none", call. = FALSE)
    }
}

load_packages <- function() {
    installed <- WELCOME[nzchar(vapply(WELCOME, function(name) system.file(package = name), ""))]
    failures <- lapply(c(NEEDED, installed), function(name) tryCatch({
        suppressWarnings(suppressMessages(library(name, character.only = TRUE)))
        NULL
    }, error = conditionMessage))
    failures <- unlist(failures)
    if (length(failures)) stop(paste(failures, collapse = "\n"), call. = FALSE)
}

# Returns the bytes of a request: a command, and a text filled up to a multiple of four bytes.
request <- function(command, text) {
    bytes <- charToRaw(text)
    bytes <- c(bytes, raw(4 - length(bytes) %% 4))
    head <- writeBin(c(command, length(bytes) + 4L, 0L, 0L), raw(), endian = "little")
    c(head, writeBin(bitwOr(TEXT, bitwShiftL(length(bytes), 8L)), raw(), endian = "little"), bytes)
}

# Lets the server evaluate what is one cell, and returns the number that it gives.
evaluate <- function(connection, cell) {
    writeBin(request(EVALUATE, cell), connection)
    head <- readBin(connection, "integer", 4, endian = "little")
    if (length(head) < 4) stop("Rserve gave no answer to: ", cell, call. = FALSE)
    body <- readBin(connection, "raw", head[2])
    if (bitwAnd(head[1], 0xffffffL) != ANSWERED) {
        error <- bitwShiftR(head[1], 24L)
        why <- if (error == LOGIN) "asks for a login before" else paste("has error", error, "for")
        stop("Rserve ", why, ": ", cell, call. = FALSE)
    }
    if (as.integer(body[5]) != NUMBERS) stop("Rserve gave no number for: ", cell, call. = FALSE)
    readBin(body[-(1:8)], "double", 1, endian = "little")
}

# Returns a connection as soon as the server, whose files are in a folder, takes one.
connect <- function(folder, driver) {
    deadline <- Sys.time() + seconds
    while (Sys.time() < deadline && !file.exists(file.path(folder, "status"))) {
        connection <- tryCatch(suppressWarnings(socketConnection(
            "127.0.0.1", as.integer(ARGUMENTS[1]), blocking = TRUE, open = "r+b", timeout = seconds
        )), error = function(error) NULL)
        if (!is.null(connection)) return(connection)
        Sys.sleep(0.05)
    }
    stop("Rserve took no ", driver, " driver on port ", ARGUMENTS[1], call. = FALSE)
}

# Is a driver, the first or second one, that runs two cells.
talk <- function(folder, driver) {
    connection <- connect(folder, driver)
    on.exit(close(connection))
    greeting <- rawToChar(readBin(connection, "raw", GREETING))
    if (!grepl("^Rsrv....QAP1", greeting)) {
        stop("Rserve greets with \"", greeting, "\"", call. = FALSE)
    }
    evaluate(connection, "answer <- 6 * 7")
    found <- evaluate(connection, "answer")
    if (found != 42) stop("a cell found ", found, " in a variable of 42", call. = FALSE)
}

# Ends the server, which may have ended by itself.
end_server <- function(folder) {
    pid <- suppressWarnings(tryCatch(
        as.integer(readLines(file.path(folder, "pid"))), error = function(error) NULL
    ))
    if (length(pid)) tools::pskill(pid, tools::SIGKILL)
}

# Returns what a log says from its first error on, or at its end.
telling_lines <- function(file) {
    lines <- if (file.exists(file)) readLines(file, warn = FALSE) else character()
    lines <- lines[nzchar(lines)]
    errors <- grep("^(Error|ERROR)", lines)
    if (!length(errors)) return(utils::tail(lines, TOLD_LINES))
    utils::head(lines[errors[1]:length(lines)], TOLD_LINES)
}

# Starts the server as this script was started, and talks to it as drivers do, one after the other:
# a server may end with its first connection.
serve <- function() {
    folder <- tempfile("pytest-dcs-")
    dir.create(folder)
    writeLines(SERVER, file.path(folder, "server.R"))
    # Without a place for stderr the shell would write there how the server ended.
    system2("sh", c("-c", shQuote(SERVE), shQuote(folder)), stderr = FALSE, wait = FALSE)
    on.exit(end_server(folder))
    tryCatch(for (driver in c("first", "second")) talk(folder, driver), error = function(error) {
        said <- telling_lines(file.path(folder, "log"))
        stop(paste(c(conditionMessage(error), said), collapse = "\n"), call. = FALSE)
    })
}

# Installs a package with the options of the platform's script, which does so with SparkR's.
install <- function() {
    folder <- tempfile("pytest-dcs-")
    library <- file.path(folder, "library")
    dir.create(file.path(folder, "package", "R"), recursive = TRUE)
    dir.create(library)
    for (name in names(PACKAGE)) writeLines(PACKAGE[[name]], file.path(folder, "package", name))
    options <- c(paste0("--library=", library), "--no-docs", "--no-html")
    log <- file.path(folder, "log")
    status <- system2(
        "R", c("CMD", "INSTALL", options, file.path(folder, "package")), stdout = log, stderr = log
    )
    if (status != 0) {
        stop(paste(c(paste("R CMD INSTALL ended with status", status), telling_lines(log)),
                   collapse = "\n"), call. = FALSE)
    }
    if (getExportedValue(loadNamespace("dcsprobe", lib.loc = library), "answer")() != 42) {
        stop("the installed package gives a wrong answer", call. = FALSE)
    }
}

run("r-session", start)
# What takes time is the start of R itself, with its profiles.
report[["r-session"]]$seconds <- proc.time()[["elapsed"]]
run("r-packages", load_packages)
run("rserve", serve)
run("r-install", install)
write_report(complete = TRUE)
