using System.CommandLine;
using System.IO;
using System.Text.Json.Nodes;
using Lowbit.Cli.Shell;
using Lowbit.Core;
using Lowbit.Inference;
using Lowbit.Models;
using Lowbit.Tokenizers;
using Lowbit.Tokenizers.Training;
using Lowbit.Training.Export;
using Lowbit.Training.Model;

namespace Lowbit.Cli.Verbs;

/// <summary>Trains a model from random weights.</summary>
internal static class TrainVerb
{
    private static readonly Argument<string> s_model = new("CONFIG") { Description = "A config.json as Hugging Face folders have it, or a folder with one; weights in it are not read." };
    private static readonly Option<string> s_method = Options.Choice("--method", "full: in float; the others train through a quantizer from the first step on.", TrainingMethods.Names("full", fromNothing: true));
    private static readonly Option<string?> s_tokenizer = Options.Text("--tokenizer", "A model or folder whose tokenizer is used; the folder of CONFIG if not given.", "MODEL");

    private static readonly Option<bool> s_newTokenizer = Options.Flag("--new-tokenizer", "Learn a byte-level tokenizer from the text first, of as many tokens as CONFIG says.");

    public static Command Create() => new Verb(
        "train",
        "Train a model from nothing.",
        "lowbit train tiny/config.json --tokenizer models/TinyStories-656K --text stories.txt --steps 2000 -o out/tiny",
        Execute,
        [s_model, s_method, s_tokenizer, s_newTokenizer, .. TrainingMethods.Settings, .. TrainingCommand.Symbols]);

    private static void Execute(Invocation invocation)
    {
        TrainingCommand.RequireOutput(invocation, "train");
        string path = invocation.Get(s_model), file = Directory.Exists(path) ? Path.Combine(path, "config.json") : path;
        ModelConfig config = ModelConfig.Read(file);
        TrainingMethod method = TrainingMethods.Find(invocation, invocation.Get(s_method), hasLearned: false);
        if (!invocation.Get(s_newTokenizer))
        {
            Train(invocation, method, config, path, file, invocation.Get(s_tokenizer) ?? Path.GetDirectoryName(Path.GetFullPath(file))!);
            return;
        }
        DirectoryInfo learned = Directory.CreateTempSubdirectory("lowbit-tokenizer-");
        try
        {
            string[] special = config.EndIds.IsEmpty ? [] : ["<|endoftext|>"];
            if (special.Length > 0 && config.EndIds[0] != 0)
                throw new LowbitException($"{file}: eos_token_id is {config.EndIds[0]}, but the end token of a new tokenizer is 0; change the configuration.");
            BytePairTrainer.Train(TrainingCommand.Documents(invocation), config.VocabularySize, special).Write(Path.Combine(learned.FullName, "tokenizer.json"));
            Train(invocation, method, config, path, file, learned.FullName);
        }
        finally
        {
            learned.Delete(recursive: true);
        }
    }

    private static void Train(Invocation invocation, TrainingMethod method, ModelConfig config, string path, string file, string tokenizer)
    {
        Tokenizer words = TokenizerLoader.Load(tokenizer);
        FloatFolder.RequireTokenizer(tokenizer);
        using TrainableModel model = TrainableModel.Random(config, TrainingCommand.Seed(invocation));
        using var pool = new WorkerPool(invocation.Threads);
        var job = new TrainingJob
        {
            Path = path,
            Method = method.Name,
            Settings = TrainingMethods.Describe(invocation),
            Model = model,
            Tokenizer = words,
            Apply = (ids, folder) => TrainingMethods.Apply(method, new TrainingContext(invocation, pool, model, null, ids, folder)),
            Write = report => TrainingMethods.Write(invocation, method, model, null, (JsonObject)JsonNode.Parse(File.ReadAllText(file))!, tokenizer, report, pool),
        };
        TrainingCommand.Show(invocation, TrainingCommand.Run(invocation, job, pool));
    }
}
