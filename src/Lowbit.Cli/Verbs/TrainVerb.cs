using System.CommandLine;
using System.IO;
using System.Text.Json.Nodes;
using Lowbit.Cli.Shell;
using Lowbit.Core;
using Lowbit.Inference;
using Lowbit.Models;
using Lowbit.Training.Export;
using Lowbit.Training.Model;

namespace Lowbit.Cli.Verbs;

/// <summary>Trains a model from random weights.</summary>
internal static class TrainVerb
{
    private static readonly Argument<string> s_model = new("CONFIG") { Description = "A config.json as Hugging Face folders have it, or a folder with one; weights in it are not read." };
    private static readonly Option<string?> s_tokenizer = Options.Text("--tokenizer", "A model or folder whose tokenizer is used; the folder of CONFIG if not given.", "MODEL");

    public static Command Create() => new Verb(
        "train",
        "Train a model from nothing.",
        "lowbit train tiny/config.json --tokenizer models/TinyStories-656K --text stories.txt --steps 2000 -o out/tiny",
        Execute,
        [s_model, s_tokenizer, .. TrainingCommand.Symbols]);

    private static void Execute(Invocation invocation)
    {
        string output = TrainingCommand.Output(invocation, "train"), path = invocation.Get(s_model);
        string file = Directory.Exists(path) ? Path.Combine(path, "config.json") : path;
        ModelConfig config = ModelConfig.Read(file);
        string vocabulary = invocation.Get(s_tokenizer) ?? Path.GetDirectoryName(Path.GetFullPath(file))!;
        using TrainableModel model = TrainableModel.Random(config, TrainingCommand.Seed(invocation));
        foreach (Parameter parameter in model.Parameters) parameter.Trainable = true;
        using var pool = new WorkerPool(invocation.Threads);
        TrainingCommand.Run(
            invocation, path, "full", "", model, TokenizerLoader.Load(vocabulary), pool,
            apply: () => { },
            write: report =>
            {
                FloatFolder.Write(output, model, (JsonObject)JsonNode.Parse(File.ReadAllText(file))!, vocabulary);
                return report;
            });
    }
}
