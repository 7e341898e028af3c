using System.CommandLine;
using Lowbit.Cli.Shell;
using Lowbit.Inference;
using Lowbit.Tokenizers;

namespace Lowbit.Cli.Verbs;

/// <param name="Ids">The tokens.</param>
/// <param name="Text">The text; with <c>--ids</c> what they stand for.</param>
internal sealed record TokenizeReport(int[] Ids, string Text);

/// <summary>Text to ids and back.</summary>
internal static class TokenizeVerb
{
    private static readonly Argument<string> s_model = Options.Model();
    private static readonly Option<string?> s_text = Options.Text("--text", "The text to tokenize.");
    private static readonly Option<string?> s_file = Options.Text("--file", "A UTF-8 file to tokenize as it stands.", "FILE");
    private static readonly Option<int[]?> s_ids = Options.Ids("--ids", "Tokens to turn back into text.");
    private static readonly Option<bool> s_special = Options.Flag("--special", "Parse special tokens in the text, and add begin and end as the model wants.");

    public static Command Create() => new Verb(
        "tokenize",
        "Turn text into tokens, or tokens into text.",
        "lowbit tokenize models/SmolLM2 --text \"Once upon a time\"\nlowbit tokenize models/SmolLM2 --ids 6403,2271,253,655",
        Execute,
        [s_model, s_text, s_file, s_ids, s_special]);

    private static void Execute(Invocation invocation)
    {
        string? text = invocation.Get(s_text), file = invocation.Get(s_file);
        int[]? ids = invocation.Get(s_ids);
        if ((text is null ? 0 : 1) + (file is null ? 0 : 1) + (ids is null ? 0 : 1) != 1)
            throw new UsageException("tokenize needs one of --text, --file and --ids.");
        Tokenizer tokenizer = TokenizerLoader.Load(invocation.Get(s_model));
        bool special = invocation.Get(s_special);
        if (file is not null) text = TextFile.Read(file);
        TokenizeReport report = ids is null
            ? new TokenizeReport([.. tokenizer.Encode(text!, addSpecial: special, parseSpecial: special)], text!)
            : new TokenizeReport(ids, tokenizer.Decode(Checked(ids, tokenizer), skipSpecial: special));
        invocation.Terminal.Result(report, JsonReports.Default.TokenizeReport, (_, r) => Terminal.WriteLine(ids is null ? string.Join(' ', r.Ids) : r.Text));
    }

    private static int[] Checked(int[] ids, Tokenizer tokenizer)
    {
        foreach (int id in ids)
        {
            if (id >= tokenizer.VocabularySize) throw new UsageException($"--ids has {id}, but the vocabulary ends at {tokenizer.VocabularySize - 1}.");
        }
        return ids;
    }
}
