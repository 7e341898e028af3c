using System.CommandLine;
using Lowbit.Cli.Shell;
using Lowbit.Core;
using Lowbit.Inference;
using Lowbit.Models;
using Lowbit.Training.Export;
using Lowbit.Training.Model;

namespace Lowbit.Cli.Verbs;

/// <summary>Trains a model further: through a quantizer, through adapters, or as it is.</summary>
internal static class FinetuneVerb
{
    private static readonly Argument<string> s_model = Options.Model();
    private static readonly Option<string> s_method = Options.Choice("--method", "How the linears of the blocks are trained; full: all parameters in float.", TrainingMethods.Names("pb-llm"));
    private static readonly Option<double> s_distill = Options.Real("--distill", "Share of the divergence from the model as given in the loss.", "R", 0, 0, 1);

    public static Command Create() => new Verb(
        "finetune",
        "Train a model further: quantization-aware, with adapters, or all of it in float.",
        "lowbit finetune models/TinyStories-656K --method pb-llm --salient 0.1 --text generated.txt --steps 600 --learning-rate 3e-3 -o out/pb",
        Execute,
        [s_model, s_method, s_distill, .. TrainingMethods.Settings, .. TrainingCommand.Symbols]);

    private static void Execute(Invocation invocation) => TrainingCommand.Show(invocation, Train(invocation));

    /// <summary>Does what the command line says.</summary>
    internal static TrainingReport Train(Invocation invocation)
    {
        TrainingCommand.RequireOutput(invocation, "finetune");
        string path = invocation.Get(s_model);
        TrainingMethod method = TrainingMethods.Find(invocation, invocation.Get(s_method), hasLearned: true);
        using LanguageModel source = LanguageModel.Open(path);
        using var pool = new WorkerPool(invocation.Threads);
        using TrainingAdapters? adapters = method.Base?.Invoke(invocation, source, pool);
        using TrainableModel model = TrainableModel.From(source, adapters?.Packed);
        using TrainableModel? teacher = invocation.Get(s_distill) > 0 ? TrainableModel.From(source) : null;
        var job = new TrainingJob
        {
            Path = path,
            Method = method.Name,
            Settings = TrainingMethods.Describe(invocation),
            Model = model,
            Tokenizer = TokenizerLoader.Load(path),
            Apply = (ids, folder) => TrainingMethods.Apply(method, new TrainingContext(invocation, pool, model, source, ids, folder) { Adapters = adapters }),
            Finish = () => TrainingMethods.Finish(invocation, model),
            Write = report => TrainingMethods.Write(invocation, method, model, source, FloatFolder.ConfigOf(source), path, report, pool),
            Teacher = teacher,
            TeacherShare = invocation.Get(s_distill),
        };
        return TrainingCommand.Run(invocation, job, pool);
    }
}
