using Lowbit.Models;
using Lowbit.Training.Model;

namespace Lowbit.Training.Export;

/// <summary>Written folders have the names of Hugging Face, whatever the source of a model calls its tensors.</summary>
internal static class FolderNames
{
    /// <summary>The name of a tensor in a written folder, without its ending.</summary>
    public static string Of(TrainableModel model, string name) =>
        model.Config.Names == TensorNames.Gguf ? TensorNames.Llama.Translate(name, TensorNames.Gguf, model.Config.BlockCount) : name;
}
