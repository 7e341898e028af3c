# Of the texts a model wrote (JSON lines) keeps those that end like a sentence and have only words that occur in at least
# MINIMUM of them: a small model makes up words, and hardly any of them twice. The file is given twice: to count, to choose.
function words(line) {
    gsub(/<\|end_story\|>/, "", line) # how the teacher's texts end; it is no special token there
    sub(/^\{"text":"/, "", line)
    sub(/ *"\}$/, "", line)
    text = line
    gsub(/\\n|\\"/, " ", line)
    return split(tolower(line), word, /[^a-z']+/)
}
{ n = words($0) }
NR == FNR {
    delete seen
    for (i = 1; i <= n; i++) if (!(word[i] in seen)) { seen[word[i]]; texts[word[i]]++ }
    next
}
text !~ /[.!?](\\")?$/ || n < 40 { next }
{
    for (i = 1; i <= n; i++) if (texts[word[i]] < MINIMUM) next
    print "{\"text\":\"" text "\"}"
}
