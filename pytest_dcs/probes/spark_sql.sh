# SQL on the platform's Spark, for images without Python. The lines on stdout have the form of
# spark_smoke.py's report, so the last one counts; details are for the reader of the log, stderr.
# Needs a POSIX shell and what Spark's own scripts need.

: "${SPARK_HOME:=/databricks/spark}"
export SPARK_HOME
cd "${SPARK_LOCAL_DIRS%%,*}" || cd /tmp || exit

sum_of_squares=$((999 * 1000 * 1999 / 6))
statements="
SELECT concat('pytest-dcs started on ', version());
SELECT concat('pytest-dcs answer ', count(*), ' ', sum(id * id)) FROM range(1000);
"

start=running sql=not-run started_after=0.00 sql_after=0.00 spark= complete=false

# Prints the report as it stands.
report() {
    printf '{"version": 1, "complete": %s, "spark": "%s", "stages": [' "$complete" "$spark"
    printf '{"name": "start", "outcome": "%s", "detail": "", "seconds": %s}, ' "$start" "$started_after"
    printf '{"name": "sql", "outcome": "%s", "detail": "", "seconds": %s}]}\n' "$sql" "$sql_after"
}

# Prints hundredths of a second, from a clock that every Linux has.
now() {
    read -r uptime _ </proc/uptime
    echo $((${uptime%.*} * 100 + 1${uptime#*.} - 100))
}

# Prints the seconds since $1, a time from `now`.
seconds_since() {
    hundredths=$(($(now) - $1))
    printf '%d.%02d' $((hundredths / 100)) $((hundredths % 100))
}

# The catalogue in memory spares the job a Hive metastore, which is no part of the image.
run_sql() {
    # shellcheck disable=SC2086 # these are words
    "$SPARK_HOME/bin/spark-submit" ${PYTEST_DCS_SPARK_SUBMIT:---master local[2]} \
        --conf spark.ui.enabled=false \
        --conf spark.sql.shuffle.partitions=2 \
        --conf spark.sql.catalogImplementation=in-memory \
        --class org.apache.spark.sql.hive.thriftserver.SparkSQLCLIDriver \
        spark-internal -S -e "$statements"
    echo "pytest-dcs exit $?"
}

# Says what the JDK alone answers, which tells a broken JDK from a Spark that does not start.
ask_java() {
    java=java
    [ -n "$JAVA_HOME" ] && java=$JAVA_HOME/bin/java
    answer=$("$java" -version 2>&1)
    status=$?
    first_line=${answer%%"
"*}
    echo "$java -version: exit $status, ${first_line:-no output}"
}

report
beginning=$(now)
run_sql | {
    while IFS= read -r line; do
        case $line in
            'pytest-dcs started on '*)
                spark=${line#pytest-dcs started on }
                spark=${spark%% *}
                start=passed sql=running started_after=$(seconds_since "$beginning")
                report
                beginning=$(now)
                ;;
            "pytest-dcs answer 1000 $sum_of_squares") sql=passed ;;
            'pytest-dcs exit '*) exit_line=$line ;;
            *) echo "$line" >&2 ;;
        esac
    done
    case $start in
        passed) sql_after=$(seconds_since "$beginning") ;;
        *) start=failed started_after=$(seconds_since "$beginning") ;;
    esac
    [ "$sql" = running ] && sql=failed
    echo "spark-submit: ${exit_line#pytest-dcs }" >&2
    [ "$start" = failed ] && ask_java >&2
    complete=true
    report
}
